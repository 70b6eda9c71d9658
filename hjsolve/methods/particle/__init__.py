"""Particle methods: the solution from atoms, samples and rays."""

from .hopf_cole import HopfCole

__all__ = ["HopfCole"]
