"""A solution as a file that other programs open: NumPy's .npz, or netCDF-3."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

_DIMS = {"ts": ("time",), "points": ("point", "axis"), "u": ("time", "point"), "gradient": ("time", "point", "axis")}


def npz(arrays: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, str]) -> bytes:
    """Return a compressed .npz of the arrays, and the facts as strings beside them."""
    content = io.BytesIO()
    entries: dict[str, Any] = {**arrays, **{name: np.array(text) for name, text in facts.items()}}
    np.savez_compressed(content, **entries)
    return content.getvalue()


def netcdf(arrays: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, str]) -> bytes:
    """Return a netCDF-3 file with dimensions time, point, axis, and the facts as global attributes."""
    from scipy.io import netcdf_file

    content = io.BytesIO()
    file = netcdf_file(content, mode="w", version=2)
    for name, size in zip(("time", "point", "axis"), arrays["gradient"].shape, strict=True):
        file.createDimension(name, size)
    for name, values in arrays.items():
        file.createVariable(name, values.dtype, _DIMS[name])[:] = values
    for name, text in facts.items():
        setattr(file, name, text.encode())
    file.flush()
    return content.getvalue()
