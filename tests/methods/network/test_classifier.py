import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import hjsolve as hj

LSEClassifier = hj.methods.network.LSEClassifier
RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [5, 8, 6])
INPUTS = RNG.normal(size=(19, 2)) + 5 * LABELS[:, None]


@pytest.fixture(scope="module")
def classifier():
    return LSEClassifier.from_data(INPUTS, LABELS, units=4, temperature=0.3, time=0.5, key=jax.random.key(1))


def test_every_class_starts_from_its_own_points(classifier) -> None:
    assert classifier.classes == 3
    assert classifier.units.weights.shape == (3, 4, 2)
    for k in range(3):
        atoms = classifier.unit(k).atoms()
        np.testing.assert_allclose(atoms.g, 0.0, atol=1e-13)
        own = INPUTS[k == LABELS]
        distances = np.abs(np.asarray(atoms.y)[:, None] - own).max(-1)
        assert (distances.min(1) < 1e-13).all()
        assert len(set(distances.argmin(1))) == 4  # without repetition


def test_logits_are_the_layers(classifier) -> None:
    x = RNG.normal(size=2)
    logits = classifier(jnp.asarray(x))
    assert logits.shape == (3,)
    for k in range(3):
        W, b = np.asarray(classifier.units.weights[k]), np.asarray(classifier.units.bias[k])
        np.testing.assert_allclose(logits[k], 0.3 * logsumexp((W @ x + b) / 0.3), rtol=1e-13)
    np.testing.assert_allclose(classifier.unit(1)(jnp.asarray(x)), logits[1], rtol=1e-13)
    scaled = eqx.tree_at(lambda c: c.scale, classifier, jnp.asarray(2.0))
    np.testing.assert_allclose(scaled(jnp.asarray(x)), 2 * logits, rtol=1e-13)


def test_it_classifies_separated_clusters_untrained(classifier) -> None:
    predicted = jnp.argmax(jax.vmap(classifier)(jnp.asarray(INPUTS)), axis=1)
    assert (np.asarray(predicted) == LABELS).mean() > 0.9


@pytest.mark.parametrize(
    ("inputs", "labels", "units", "message"),
    [
        (INPUTS[:, 0], LABELS, 4, r"`inputs` must have shape \[n, d\]; got \(19,\)"),
        (INPUTS, LABELS[:5], 4, r"`labels` must have shape \[n\] = \(19,\); got \(5,\)"),
        (INPUTS, LABELS + 1, 4, r"`labels` must be 0, 1, ..., K-1; got the classes \[1, 2, 3\]"),
        (INPUTS, LABELS, 6, r"`units` must lie in \[1, 5\].*got 6"),
        (INPUTS, LABELS, 0, r"`units` must lie in \[1, 5\].*got 0"),
        (
            np.where(np.arange(38).reshape(19, 2) == 3, np.nan, INPUTS),
            LABELS,
            4,
            r"`inputs` must not contain NaN; 1 of 38",
        ),
    ],
)
def test_bad_data_are_refused(inputs, labels, units: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSEClassifier.from_data(inputs, labels, units=units, temperature=0.3, key=jax.random.key(1))
