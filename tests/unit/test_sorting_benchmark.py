"""The benchmark of sorting: what it compares with is exact, and its gates are ratios of its figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sciml.checks import CheckReport
from solvers.linear import order_systems
from validation.benchmarks import sorting


@pytest.fixture(scope="module")
def report() -> CheckReport:
    return sorting.run(systems=1000, resolution=12, stretches=1)


def test_nearest_neighbours_are_exact() -> None:
    features = np.random.default_rng(0).standard_normal((200, 3))
    distances = cdist(features, features)
    np.fill_diagonal(distances, np.inf)
    picked = np.array([3, 77, 150])
    assert np.isclose(sorting._nearest(features, picked), distances[picked].min(axis=1).mean(), rtol=1e-12)


def test_gates_are_ratios_of_the_figures(report: CheckReport) -> None:
    observed = {check.name: check.observed for check in report.checks}
    for name in ("independent media", "media of two parameters", "wavenumbers"):
        figures = report.details[name]
        assert np.isclose(
            observed[f"{name}: time of sorting over that of solving, extrapolated"],
            figures["seconds of sorting"] / (1000 * figures["seconds a solve"]),
        )
        assert observed[f"{name}: mean step over the exact distance to the nearest system"] == figures["step"] / figures["nearest"]
    assert len(report.checks) == 15


def test_paths_are_short_and_are_those_of_the_features(report: CheckReport) -> None:
    failed = {check.name for check in report.checks if not check.passed}
    assert not [name for name in failed if "mean step" in name or "length of the path" in name]
    k = np.random.default_rng(3).uniform(8.0, 12.0, 1000) ** 2
    assert np.isclose(report.details["wavenumbers"]["step"], np.ptp(k) / 999)
    weights = np.random.default_rng(2).standard_normal((1000, 2))
    assert report.details["media of two parameters"]["step"] == order_systems(weights).length_after / 999


def test_memory_that_is_held_for_a_while_is_seen() -> None:
    size = 300_000_000  # more than the allocator keeps of what earlier tests gave back
    _, peak = sorting._with_peak(lambda: np.ones(size // 8).sum())
    assert 0.9 * size < peak < 1.5 * size
