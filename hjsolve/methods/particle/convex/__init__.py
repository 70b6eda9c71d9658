"""Convex Hamiltonians as choices of controls: the searches behind the Hopf-Lax and Hopf formulas."""
