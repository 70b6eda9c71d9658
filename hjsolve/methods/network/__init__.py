"""Network methods: networks whose forward pass discretizes or solves the equation."""

from .attention import Attention
from .classifier import LSEClassifier
from .lse import LSE
from .residual import ResidualStepper
from .ssm import SSM

__all__ = ["LSE", "SSM", "Attention", "LSEClassifier", "ResidualStepper"]
