"""Network methods: networks whose forward pass discretizes or solves the equation."""

from .classifier import LSEClassifier
from .lse import LSE

__all__ = ["LSE", "LSEClassifier"]
