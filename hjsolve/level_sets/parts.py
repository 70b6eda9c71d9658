"""What a level set is made of: points, polylines or triangles."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

_Array = np.ndarray[Any, Any]


class Surface(NamedTuple):
    """Triangles: `vertices` `[n, 3]`, and `faces` `[m, 3]` of indices into them, counter-clockwise from larger u."""

    vertices: _Array
    faces: _Array


LevelSet: TypeAlias = _Array | list[_Array] | Surface
