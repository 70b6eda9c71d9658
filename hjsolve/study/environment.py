"""Where a run happens: the device and precision it asks for, for its duration only, and the record of both."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Device, Precision
from .errors import ConfigError, one_of

if TYPE_CHECKING:
    import jax

PACKAGES = ("hjsolve", "jax", "jaxlib", "equinox", "optax", "diffrax", "numpy", "scipy", "matplotlib", "zarr")


def pick_device(kind: Device) -> jax.Device:
    """Return the first device of a kind ("auto": JAX's own choice), or a `ConfigError` naming the kinds there are."""
    import jax

    try:
        return jax.devices(None if kind == "auto" else kind)[0]
    except RuntimeError:
        present = one_of({device.platform for device in jax.devices()})
        install = {"gpu": "install hjsolve[cuda13]", "tpu": "install hjsolve[tpu]"}.get(kind, "unset JAX_PLATFORMS")
        message = f"`device` is '{kind}' but JAX finds no {kind} here; it finds: {present}."
        raise ConfigError(f"{message} Use device=auto, or {install}.") from None


@contextmanager
def settings(precision: Precision, device: jax.Device) -> Iterator[None]:
    """Compute in `precision` on `device` inside the block; both are back to what they were after it."""
    import jax

    with jax.enable_x64(precision == "float64"), jax.default_device(device):
        yield


def versions() -> dict[str, str]:
    """Return the installed version of everything a number depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe(precision: Precision, device: jax.Device, seed: int) -> dict[str, Any]:
    """Return what `environment.json` holds."""
    import jax

    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "devices": [f"{found.platform}: {found.device_kind}" for found in jax.devices()],
        "device": f"{device.platform}: {device.device_kind}",
        "precision": precision,
        "seed": seed,
        "git": _commit(),
        "command": sys.argv,
    }


def _commit() -> str | None:
    """Return the commit of the checkout that hjsolve runs from, `-dirty` where files differ; None outside of one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
