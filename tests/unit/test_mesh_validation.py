"""The case on a mesh passes, and fails where the medium is another; the benchmark of hierarchies keeps its counts."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.problems import MeshDarcy
from validation.benchmarks import mesh_hierarchy
from validation.cases import mesh_bent_channel


@pytest.mark.parametrize("resolution", [8, 15, 16])
def test_the_case_passes(resolution: int) -> None:
    report = mesh_bent_channel.run(resolution=resolution)
    assert report.passed
    assert all(check.status == "exact" for check in report.checks)


def test_a_medium_smeared_over_neighbouring_cells_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def smeared(self: MeshDarcy, parameters: dict[str, np.ndarray]) -> np.ndarray:
        a, cells = parameters["permeability"], self.mesh.cells
        count = np.bincount(cells.ravel())
        return (np.bincount(cells.ravel(), np.repeat(a, 3)) / count)[cells].mean(axis=1)

    monkeypatch.setattr(MeshDarcy, "coefficient", smeared)
    assert not mesh_bent_channel.run(resolution=8).passed


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="resolution = 3 is out of range"):
        mesh_bent_channel.run(resolution=3)
    with pytest.raises(InputError, match="cube = 100"):
        mesh_hierarchy.run(cube=100)


def test_counts_of_the_benchmark() -> None:
    """Its times are for a quiet machine to judge; on meshes this small only the counts mean something."""
    report = mesh_hierarchy.run(plane=40, cube=8, samples=2)
    assert all(check.passed for check in report.checks if check.name.endswith("iterations"))
    for case in ("2-D, log-normal", "3-D, log-normal"):
        figures = report.details[case]
        assert figures["kept interpolations"]["iterations"] <= figures["own set-up"]["iterations"] + 1
        assert figures["all kept"]["iterations"] > 1.5 * figures["own set-up"]["iterations"]
