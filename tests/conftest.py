"""Tests run in float64, where closed forms can be met to round-off; tests of float32 enter a context of their own."""

from collections.abc import Iterator

import hypothesis
import jax
import pytest

# The same examples in every run, and no time limit: the first example of a test compiles.
hypothesis.settings.register_profile("fixed", derandomize=True, max_examples=20, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    """Float64 for a whole module, so that its shared fixtures are in float64 too."""
    with jax.enable_x64(True):
        yield
    jax.clear_caches()  # thousands of programs in one process use up its memory maps, and the compiler crashes
