"""Real data that a dependency ships: the 1797 handwritten digits of scikit-learn, projected by PCA.

This module runs nothing itself.
"""

from typing import NamedTuple

import numpy as np


class Digits(NamedTuple):
    """Centred PCA coordinates, scaled so that the largest is `extent`; labels 0-9."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def load(dimensions, seed, extent=3.0):
    """Three quarters for training, the rest for the test; PCA and scale are fitted to the training part alone."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images / 16, labels, test_size=0.25, stratify=labels, random_state=seed
    )
    projection = PCA(dimensions, random_state=seed).fit(train)
    coordinates = projection.transform(train)
    scale = extent / np.abs(coordinates).max()
    return Digits(scale * coordinates, train_labels, scale * projection.transform(test), test_labels)
