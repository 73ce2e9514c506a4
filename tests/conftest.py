"""Settings and meshes that tests share."""

import itertools
import os
import signal

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell script starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def tagged_by_side(points, cells):
    """A mesh of a domain inside the unit box whose boundary facets on a side of the box form the part ``x_low`` ... of that side."""
    from sciml.mesh import Mesh

    facets = Mesh.build(points, cells).facets
    parts = {}
    for axis, letter in enumerate("xyz"[: points.shape[1]]):
        for end, value in (("low", 0.0), ("high", 1.0)):
            on_side = facets[(np.abs(points[facets][:, :, axis] - value) < 1e-12).all(axis=1)]
            if len(on_side):
                parts[f"{letter}_{end}"] = on_side
    return Mesh.build(points, cells, parts)


@pytest.fixture(scope="session")
def box_mesh():
    """``box_mesh(dimension, n, shift)``: the unit square or cube cut into n^d boxes of simplices, inner nodes moved by up to shift / n."""

    def make(dimension, n, shift=0.2):
        axes = np.meshgrid(*[np.arange(n + 1)] * dimension, indexing="ij")
        points = np.stack([axis.ravel() for axis in axes], axis=1) / n
        inner = ((points > 0) & (points < 1)).all(axis=1)
        points[inner] += np.random.default_rng(0).uniform(-shift / n, shift / n, (int(inner.sum()), dimension))
        strides = (n + 1) ** np.arange(dimension)[::-1]
        corner = sum(s * axis for s, axis in zip(strides, np.meshgrid(*[np.arange(n)] * dimension, indexing="ij"), strict=True)).ravel()
        cells = []
        for order in itertools.permutations(range(dimension)):  # Kuhn's simplices: from the low corner to the high one, axis by axis
            path = np.concatenate([[0], np.cumsum(strides[list(order)])])
            if np.linalg.det(np.eye(dimension)[list(order)]) < 0:
                path[[0, 1]] = path[[1, 0]]
            cells.append(corner[:, None] + path)
        return tagged_by_side(points, np.concatenate(cells))

    return make


@pytest.fixture(scope="session")
def contents():
    """``contents(path)``: bytes of every field of a dataset, and what its certificates say apart from the time taken."""
    from sciml import open_dataset

    def read(path):
        found = {}
        for split in ("train", "valid", "test"):
            dataset = open_dataset(path, split)
            for name in dataset.manifest.names:
                found[f"{split}/{name}"] = dataset.field(name).tobytes()
            certificates = [dataset.provenance(index) | {"solve_seconds": 0} for index in range(len(dataset))]
            found[split] = repr(certificates).encode()
        return found

    return read
