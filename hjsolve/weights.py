"""Weights of networks as files: NumPy's .npz without pickle, so that loading runs no code."""

import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .files import replace

_Tree = TypeVar("_Tree")
_Array = np.ndarray[Any, np.dtype[Any]]
_ARCHITECTURE = "architecture"
_LONGEST = 400


def save_weights(path: str | os.PathLike[str], network: Any) -> None:
    """Write every array of `network` to `path`, an .npz file, under its name in the network; replaced atomically."""
    target = checked_path("path", path)
    write(target, {_ARCHITECTURE: np.array(describe(network)), **packed(network, "weights")})


def load_weights(path: str | os.PathLike[str], like: _Tree) -> _Tree:
    """The network `like` with the weights in `path`, in the precision of `like`.

    `like` is any network of the same architecture, such as one with random weights. Raises `ValueError` naming both
    where the file holds another one.
    """
    content = read(Path(path))
    check_architecture(Path(path), content, like)
    if not any(name.startswith("weights") for name in content):
        raise ValueError(
            f"{str(path)!r} is the checkpoint of a training, not weights: `fit(checkpoint=)` goes on from it."
        )
    return unpacked(content, "weights", like)


def checked_path(argument: str, path: str | os.PathLike[str]) -> Path:
    """A path to write to: it ends in .npz, and its folder exists."""
    target = Path(path)
    if target.suffix != ".npz":
        raise ValueError(f"`{argument}` must end in .npz; got {target.name!r}.")
    if not target.parent.is_dir():
        raise ValueError(f"the folder of `{argument}` {str(path)!r} does not exist. Make it first.")
    return target


def describe(network: Any) -> str:
    """The architecture in one line: classes, shapes and settings, without values and precision."""
    shapes = jax.tree.map(lambda a: _Shape(np.shape(a)) if _is_weight(a) else a, network)
    return re.sub(r" at 0x[0-9a-f]+", "", eqx.tree_pformat(shapes, width=10**9))


def check_architecture(path: Path, content: Mapping[str, _Array], network: Any) -> None:
    """Refuse content written for another architecture."""
    held = str(content[_ARCHITECTURE]) if _ARCHITECTURE in content else "no network"
    own = describe(network)
    if held != own:
        raise ValueError(
            f"{path.name} holds {_shortened(held)} but the network is {_shortened(own)}. Build the network with the "
            "settings it was saved with, or choose another file."
        )


def packed(tree: Any, prefix: str) -> dict[str, _Array]:
    """The arrays of a tree by their place in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(place): np.asarray(leaf) for place, leaf in leaves if _is_weight(leaf)}


def unpacked(content: Mapping[str, _Array], prefix: str, like: _Tree) -> _Tree:
    """`like` with the arrays that `packed` wrote, in its precision."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    found = []
    for place, leaf in leaves:
        if _is_weight(leaf):
            stored = content[prefix + jax.tree_util.keystr(place)]
            module = jnp if isinstance(leaf, jax.Array) else np
            leaf = module.asarray(stored, dtype=leaf.dtype)
        found.append(leaf)
    restored: _Tree = jax.tree_util.tree_unflatten(structure, found)
    return restored


def write(path: Path, content: Mapping[str, _Array]) -> None:
    """Replace `path` by an .npz of these arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    replace(path, buffer.getvalue())


def read(path: Path) -> dict[str, _Array]:
    """All arrays of an .npz; objects are refused, so that nothing in it can run."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, EOFError, ValueError, AttributeError) as error:
        raise ValueError(f"{str(path)!r} is no file of weights: {error}. Was it written by save_weights?") from error


class _Shape:
    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def __repr__(self) -> str:
        return f"[{','.join(map(str, self.shape))}]"


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
