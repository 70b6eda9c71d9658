"""The hot loops, each in its fastest simple form. They know arrays only: no problem, no method."""
