"""Is this machine fit for a run? Versions, devices, precisions, and the canaries at full size."""

from __future__ import annotations

from rich.table import Table

from . import canaries, environment, registry
from .config import Precision
from .errors import RunFailed
from .terminal import console, progress


def examine() -> None:
    """Print the state of the installation; raise `RunFailed` with the remedy where a canary fails."""
    import jax

    facts = Table(box=None, show_header=False, padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    for package, version in environment.versions().items():
        facts.add_row(package, version)
    for number, device in enumerate(jax.devices()):
        facts.add_row("devices" if number == 0 else "", f"{device.platform}: {device.device_kind}")
    for precision in ("float32", "float64"):
        facts.add_row(precision, _resolution(precision))
    facts.add_row("experiments", str(registry.root() / "experiments"))
    console.print(facts)
    with progress("checking the compiler", None):
        verdicts = canaries.check(thorough=True)
    for verdict in verdicts:
        mark = "[green]ok[/]" if verdict.ok else "[bold red]WRONG[/]"
        console.print(f"  canary {mark}  {verdict.name}: relative error {verdict.error:.1e}", highlight=False)
    if not verdicts:
        console.print("  canaries do not apply: JAX has no CPU backend here")
    if not all(verdict.ok for verdict in verdicts):
        raise RunFailed(canaries.REMEDY)


def _resolution(precision: Precision) -> str:
    """Compute the spacing of numbers at one on the default device: it shows whether the precision is really there."""
    import jax
    import jax.numpy as jnp

    with environment.settings(precision, jax.devices()[0]):
        one = jnp.ones(())
        spacing = float(jnp.nextafter(one, 2 * one) - one)
    return f"available (resolution {spacing:.1e})" if one.dtype == precision else "not available on this device"
