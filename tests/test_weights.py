"""Weights as files: every family comes back as it was, other architectures are refused, and nothing is executed."""

import jax
import numpy as np
import pytest

import hjsolve as hj

network = hj.methods.network
LINE = hj.Torus([0.0], [1.0])
FAMILIES = {
    "LSE": lambda key: network.LSE.random(5, 2, temperature=0.3, key=key),
    "SSM": lambda key: network.SSM.random(16, temperature=0.3, gated=True, key=key),
    "Attention": lambda key: network.Attention.random(LINE, 8, scale=2.0, heads=2, key=key),
    "ResidualStepper": lambda key: network.ResidualStepper.random(LINE, 16, layers=2, shared=False, key=key),
    "ResidualFlow": lambda key: network.ResidualFlow.random(2, layers=3, cell="lstm", outputs=4, key=key),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_come_back_as_they_were(family: str, tmp_path) -> None:
    saved, other = (FAMILIES[family](jax.random.key(seed)) for seed in (0, 1))
    hj.save_weights(tmp_path / "weights.npz", saved)
    loaded = hj.load_weights(tmp_path / "weights.npz", other)
    pairs = list(zip(*(jax.tree.leaves(n) for n in (saved, loaded, other)), strict=True))
    assert all(np.array_equal(a, b) for a, b, _ in pairs)
    assert any(not np.array_equal(a, c) for a, _, c in pairs)
    assert jax.tree.structure(saved) == jax.tree.structure(loaded)


def test_another_architecture_is_refused_with_both_named(tmp_path) -> None:
    file = tmp_path / "weights.npz"
    hj.save_weights(file, FAMILIES["LSE"](jax.random.key(0)))
    with pytest.raises(ValueError, match=r"holds LSE\(.* but the network is SSM\("):
        hj.load_weights(file, FAMILIES["SSM"](jax.random.key(0)))
    # the same shapes, another setting
    hj.save_weights(file, network.ResidualFlow.random(2, layers=3, shared=True, key=jax.random.key(0)))
    with pytest.raises(ValueError, match=r"layers=3.* but the network is .*layers=4"):
        hj.load_weights(file, network.ResidualFlow.random(2, layers=4, shared=True, key=jax.random.key(0)))


def test_pickled_objects_are_not_opened(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    file = tmp_path / "weights.npz"
    np.savez(file, architecture=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="is no file of weights"):
        hj.load_weights(file, FAMILIES["LSE"](jax.random.key(0)))


def test_files_that_are_no_weights(tmp_path) -> None:
    file = tmp_path / "weights.npz"
    file.write_text("hello")
    with pytest.raises(ValueError, match="is no file of weights"):
        hj.load_weights(file, FAMILIES["LSE"](jax.random.key(0)))
    np.savez(file, u=np.zeros(3))
    with pytest.raises(ValueError, match="holds no network but the network is LSE"):
        hj.load_weights(file, FAMILIES["LSE"](jax.random.key(0)))
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        hj.save_weights(tmp_path / "weights.pkl", FAMILIES["LSE"](jax.random.key(0)))
