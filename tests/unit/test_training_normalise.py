"""The normaliser: exact statistics in one pass, an exact inverse, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.data.normalise import Normaliser
from sciml.errors import CheckpointError, DatasetError


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_one_pass_gives_the_statistics_of_the_whole(samples: int, seed: int, centre: float, width: float) -> None:
    data = centre + width * np.random.default_rng(seed).standard_normal((samples, 2, 3, 4))
    fitted = Normaliser.fit(("a", "b"), data)
    np.testing.assert_allclose(fitted.mean, data.mean(axis=(0, 2, 3)), rtol=1e-10, atol=1e-10 * width)
    np.testing.assert_allclose(fitted.std, data.std(axis=(0, 2, 3)), rtol=1e-8)


def test_a_large_mean_costs_no_accuracy() -> None:
    data = 1e8 + np.random.default_rng(0).standard_normal((50, 1, 8, 8))
    assert Normaliser.fit(("a",), data).std[0] == pytest.approx(data.std(), rel=1e-6)  # a naive sum of squares is off by 100 %


def test_encoded_channels_have_mean_zero_and_width_one_and_come_back() -> None:
    data = np.random.default_rng(1).exponential(3.0, size=(40, 2, 6, 6)) * np.array([1.0, 1e4]).reshape(1, 2, 1, 1)
    fitted = Normaliser.fit(("a", "b"), data)
    encoded = fitted.encode(data)
    np.testing.assert_allclose(encoded.mean(axis=(0, 2, 3)), 0.0, atol=1e-12)
    np.testing.assert_allclose(encoded.std(axis=(0, 2, 3)), 1.0, rtol=1e-12)
    np.testing.assert_allclose(fitted.decode(encoded), data, rtol=1e-12)
    assert fitted.encode(data.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 7.3, -1e-12, 1e20])
def test_a_constant_channel_becomes_zero_and_comes_back(value: float) -> None:
    data = np.full((3, 1, 4, 4), value)
    fitted = Normaliser.fit(("a",), data)
    assert fitted.std == (1.0,)
    assert (fitted.encode(data) == 0).all()
    assert (fitted.decode(fitted.encode(data)) == data).all()


def test_json_keeps_every_bit() -> None:
    fitted = Normaliser.fit(("a", "b"), np.random.default_rng(2).standard_normal((5, 2, 3, 3)) / 3)
    assert Normaliser.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"names": ["a"], "mean": [0.0], "std": [0.0]},
        {"names": ["a"], "mean": [float("nan")], "std": [1.0]},
        {"names": ["a", "b"], "mean": [0.0], "std": [1.0]},
        {"names": ["a"], "mean": ["x"], "std": [1.0]},
        {"names": 3, "mean": [0.0], "std": [1.0]},
    ],
)
def test_garbled_statistics_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="normaliser"):
        Normaliser.from_dict(values)


def test_missing_and_infinite_data_are_refused() -> None:
    with pytest.raises(DatasetError, match="holds no sample"):
        Normaliser.fit(("a",), [])
    data = np.ones((3, 2, 2, 2))
    data[1, 1, 0, 1] = np.inf
    with pytest.raises(DatasetError, match=r"field 'b' of train sample 1 .* not finite"):
        Normaliser.fit(("a", "b"), data)


def test_it_needs_no_torch() -> None:
    script = "import sys; import sciml.data.normalise; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
