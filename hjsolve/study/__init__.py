"""A study repeats problem, method and solution over a config and writes a table. Import its modules by name."""
