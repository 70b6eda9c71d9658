"""Network methods: networks whose forward pass discretizes or solves the equation."""

from . import cells, readouts
from .attention import Attention
from .black_box import BlackBox
from .classifier import LSEClassifier
from .deep_lse import DeepLSE, SoftplusLayer
from .flow import ResidualFlow
from .lse import LSE
from .residual import Block, ResidualStepper
from .sequence_ssm import SequenceSSM
from .ssm import SSM
from .token_flow import TokenFlow

__all__ = [
    "LSE",
    "SSM",
    "Attention",
    "BlackBox",
    "Block",
    "DeepLSE",
    "LSEClassifier",
    "ResidualFlow",
    "ResidualStepper",
    "SequenceSSM",
    "SoftplusLayer",
    "TokenFlow",
    "cells",
    "readouts",
]
