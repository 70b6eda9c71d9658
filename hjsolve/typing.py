"""Array aliases. Shapes are jaxtyping strings; a leading `...` is any batch or grid shape."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

Scalar: TypeAlias = Float[Array, ""]
"""A real number: time, viscosity, a value of u at one point."""
Point: TypeAlias = Float[Array, "d"]
"""One point of R^d."""
Points: TypeAlias = Float[Array, "m d"]
"""A batch of m points of R^d, one a row."""
Vectors: TypeAlias = Float[Array, "d ..."]
"""A vector at each place of a batch or grid: the component comes first, so that H is evaluated on whole arrays."""
Values: TypeAlias = Float[Array, "..."]
"""A number at each place of a batch or grid."""

Function: TypeAlias = Callable[..., Any]

__all__ = ["Array", "ArrayLike", "Float", "Function", "PRNGKeyArray", "Point", "Points", "Scalar", "Values", "Vectors"]
