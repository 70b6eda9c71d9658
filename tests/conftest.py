"""Tests run in float64, where closed forms can be met to round-off; tests of float32 enter a context of their own."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

# The same examples in every run, and no time limit: the first example of a test compiles.
hypothesis.settings.register_profile("fixed", derandomize=True, max_examples=20, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")

MOST_MAPS = 20_000


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    """Float64 for a whole module, so that its shared fixtures are in float64 too."""
    with jax.enable_x64(True):
        yield
    if memory_maps() > MOST_MAPS:
        jax.clear_caches()


def memory_maps() -> float:
    """Of this process, of which thousands of compiled programs use up what Linux allows: 65,530."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else float("inf")
