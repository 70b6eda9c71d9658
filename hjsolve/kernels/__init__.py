"""The hot loops, each in its fastest simple form. They know arrays only: no problem, no method."""

from .lse import lse as lse
from .lse_outputs import LogSumExp as LogSumExp
from .lse_outputs import TopAtoms as TopAtoms
