"""The benchmarks of the store on a handful of samples: what they say about values is exact, what they time is not judged here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sciml.errors import InputError
from validation.benchmarks import dataset_write, loader, pinn_derivatives


def test_two_workers_write_the_same_fields() -> None:
    report = dataset_write.run(samples=100, resolution=4, repeats=1)
    same, *_ = report.checks
    assert (same.name, same.observed) == ("fields that differ between one worker and two", 0)
    # a difference of two short runs, which on a busy machine may come out below zero
    assert abs(report.details["seconds_a_sample"]["2"]["writing_process"]) < 0.1


def test_loader_needs_the_other_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCIML_INTEROP_PYTHON", str(tmp_path / "python"))
    with pytest.raises(InputError, match=r"python does not exist.*: `make interop` makes it, or set SCIML_INTEROP_PYTHON"):
        loader.run()


def test_loader_reads_what_the_well_reads() -> None:
    interpreter = Path(os.environ.get("SCIML_INTEROP_PYTHON", loader.ROOT / ".venv-interop" / "bin" / "python"))
    if not interpreter.exists():
        pytest.skip(f"{interpreter} does not exist: `make interop` makes it, or set SCIML_INTEROP_PYTHON")
    same, faster = loader.run(samples=20, resolution=8, passes=3).checks
    assert same.observed == 0
    assert faster.observed > 1


def test_derivatives_of_networks_are_judged_before_they_are_timed(monkeypatch):
    monkeypatch.setattr(pinn_derivatives, "CASES", ((2, 4, 1, 6), (3, 5, 2, 4)))
    monkeypatch.setattr(pinn_derivatives, "OF_JACOBIANS", ((3, 5, 2, 4),))
    name = "largest difference of derivatives and gradients"
    (right,) = (check for check in pinn_derivatives.run(repeats=1).checks if check.name == name)
    assert right.passed
    sound = pinn_derivatives._by_channels

    def unsound(network, x):
        u, slope, laplacian = sound(network, x)
        return u, slope, laplacian * (1 + 1e-9)

    monkeypatch.setitem(pinn_derivatives._JETS, "channels", unsound)
    (wrong,) = (check for check in pinn_derivatives.run(repeats=1).checks if check.name == name)
    assert not wrong.passed
