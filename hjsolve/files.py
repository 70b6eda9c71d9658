"""Solutions as files that other programs open: NumPy's .npz, netCDF-3, Zarr v3.

A file is whole or absent: it is written beside its place, flushed to disk, and renamed into it.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .tensor_grid import recognise

_Array = np.ndarray[Any, Any]
_Variables = dict[str, tuple[tuple[str, ...], _Array]]
SUFFIXES = (".npz", ".nc", ".zarr")


def save(path: Path, arrays: Mapping[str, _Array], facts: Mapping[str, str]) -> None:
    """Write `ts` `[s]`, `points` `[m, d]`, `u` `[s, m]` and `gradient` `[s, m, d]`, and facts as text beside them.

    The suffix decides. `.npz` holds the arrays as they are; points that form a tensor grid add its axes `x1`, `x2`, ...
    `.nc` and `.zarr` hold `u` on the dimensions (time, x1, ..., xd) of such a grid, each with its coordinate variable,
    and `gradient` with a last one `axis`, so that xarray opens them with coordinates; other points make the dimensions
    (time, point). Facts are global attributes there. An existing file is replaced.

    Raises `ValueError` for another suffix and `OSError` if the disk refuses.
    """
    if path.suffix == ".zarr":
        _write_zarr(path, variables(arrays), facts)
    elif path.suffix == ".nc":
        replace(path, _netcdf(variables(arrays), facts))
    elif path.suffix == ".npz":
        replace(path, _npz(arrays, facts))
    else:
        raise ValueError(f"`path` must end in {', '.join(SUFFIXES)}; got {path.name!r}. The suffix chooses the format.")


def variables(arrays: Mapping[str, _Array]) -> _Variables:
    """The variables with the names of their dimensions: on the axes of the points' grid where they form one."""
    grid = recognise(arrays["points"])
    found: _Variables = {"time": (("time",), arrays["ts"])}
    if grid is None:
        found["points"] = (("point", "axis"), arrays["points"])
        return found | {
            "u": (("time", "point"), arrays["u"]),
            "gradient": (("time", "point", "axis"), arrays["gradient"]),
        }
    names = tuple(f"x{k + 1}" for k in range(len(grid.axes)))
    found |= {name: ((name,), axis) for name, axis in zip(names, grid.axes, strict=True)}
    found["u"] = (("time", *names), grid.arrange(arrays["u"]))
    found["gradient"] = (("time", *names, "axis"), grid.arrange(arrays["gradient"]))
    return found


def _npz(arrays: Mapping[str, _Array], facts: Mapping[str, str]) -> bytes:
    grid = recognise(arrays["points"])
    axes = {} if grid is None else {f"x{k + 1}": axis for k, axis in enumerate(grid.axes)}
    content = io.BytesIO()
    entries: dict[str, Any] = {**arrays, **axes, **{name: np.array(text) for name, text in facts.items()}}
    np.savez_compressed(content, **entries)
    return content.getvalue()


def _netcdf(found: _Variables, facts: Mapping[str, str]) -> bytes:
    from scipy.io import netcdf_file

    content = io.BytesIO()
    file = netcdf_file(content, mode="w", version=2)
    sizes = {dim: size for dims, values in found.values() for dim, size in zip(dims, values.shape, strict=True)}
    for dim, size in sizes.items():
        file.createDimension(dim, size)
    for name, (dims, values) in found.items():
        file.createVariable(name, values.dtype, dims)[:] = values
    for name, text in facts.items():
        setattr(file, name, text.encode())
    file.flush()
    return content.getvalue()


def _write_zarr(path: Path, found: _Variables, facts: Mapping[str, str]) -> None:
    import zarr

    hidden = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        group = zarr.open_group(hidden / "new", mode="w", zarr_format=3, attributes=dict(facts))
        for name, (dims, values) in found.items():
            group.create_array(name, data=values, dimension_names=dims)
        if path.exists():
            path.rename(hidden / "old")
        try:
            (hidden / "new").rename(path)
        except OSError:
            (hidden / "old").rename(path)
            raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def replace(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically and durably."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp makes private files; results are meant to be shared
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
