"""Rays of the characteristic equations: integrating them, finding those through a point, expanding around one."""
