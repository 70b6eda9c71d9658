"""Errors of the schemes for ε > 0: against Δx above, against Δt below, one column for each dimension."""

from .orders import panels


def draw(table):
    """Two rows of panels."""
    groups = [("viscous WENO5", "central 6", "Spectral"), ("Strang", "IMEX", "ETD-RK4")]
    return panels(table, "Waves of u_t + |∇u|² = 0.1 Δu (central 6: of the heat equation)", groups, height=3.8)
