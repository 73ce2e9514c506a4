"""The cases of periodic flow pass as the solver stands, and fail when the fault that they are there for is planted."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from sciml.report.terminal import print_checks
from solvers.flow import VelocityFlow, VorticityFlow, march
from validation.benchmarks import navier_stokes
from validation.cases import decaying_turbulence, kolmogorov, taylor_green
from validation.peers import exponax_flow, torch_cfd_flow


def failed(report):
    return [check.name for check in report.checks if not check.passed]


def test_kolmogorov():
    report = kolmogorov.run(seconds=1)
    assert failed(report) == []
    assert len(report.checks) == 6
    assert [figure["kind"] for figure in report.details["figures"]] == ["lines", "field"]


def test_taylor_green():
    report = taylor_green.run(resolution=24, reynolds=20)
    assert failed(report) == []
    assert len(report.checks) == 11


def decaying(loss=1.0, rate=1.0, longer=1.0):
    """Energy, enstrophy and palinstrophy of two waves of |k|^2 = 4 and 64 that only decay, each by its own exponential."""
    t = np.linspace(0, decaying_turbulence.END, decaying_turbulence.INTERVALS + 1)
    squares, shares = np.array([[4.0], [64.0]]), np.array([[0.4], [0.1]])
    energies = shares * np.exp(-2 * rate * decaying_turbulence.NU * squares * t * np.array([[1.0], [longer]]))
    return energies.sum(0), loss * (squares * energies).sum(0), loss * (squares**2 * energies).sum(0)


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ({}, []),
        ({"loss": 1.001}, ["energy: defect"]),  # an enstrophy that is measured wrongly; that of the enstrophy scales with it
        ({"rate": 1.01}, ["energy: defect", "enstrophy: defect"]),  # another viscosity
        ({"longer": -1.0}, ["enstrophy: defect", "energy: defect", "enstrophy over energy", "enstrophy: largest"]),  # short waves that grow
    ],
)
def test_judge_of_decaying_turbulence(fault, broken):
    names = [check.name for check in decaying_turbulence.judge(*decaying(**fault)) if not check.passed]
    assert all(any(name.startswith(what) for name in names) for what in broken)
    assert bool(names) == bool(broken)


@pytest.mark.slow
def test_decaying_turbulence():
    report = decaying_turbulence.run()
    assert failed(report) == []
    assert len(report.checks) == 6


def test_the_slope_beside_the_spectrum_is_that_of_the_enstrophy_cascade():
    k = np.arange(1.0, 40.0)
    spectrum = k**4 / (1 + k**8)  # rises to k = 1, then falls as k^-4
    shown, line = decaying_turbulence.cascade(k, spectrum)
    np.testing.assert_allclose(np.diff(np.log(line)) / np.diff(np.log(shown)), -3.0, rtol=1e-12)
    assert (line >= spectrum[spectrum.argmax() :] * (1 - 1e-12)).all()
    assert np.isclose(line, spectrum[spectrum.argmax() :]).any()


def test_a_convective_term_of_another_size_moves_the_critical_reynolds_number(monkeypatch):
    right = VorticityFlow.nonlinear_and_rate

    def wrong(self, state, *, rate=False):
        found, rates = right(self, state, rate=rate)
        forcing = 0.0 if self.forcing_modes is None else self.forcing_modes
        return forcing + 0.99 * (found - forcing), rates

    monkeypatch.setattr(VorticityFlow, "nonlinear_and_rate", wrong)
    names = failed(kolmogorov.run(seconds=1))
    assert any("critical Reynolds number" in name for name in names)


def test_a_missing_product_of_the_tensor_is_seen_by_the_series(monkeypatch):
    right = VelocityFlow._modes

    def wrong(self, field, shape):
        state = right(self, field, shape)
        if field.shape[0] == 5:
            state[2] *= 0.99
        return state

    monkeypatch.setattr(VelocityFlow, "_modes", wrong)
    names = failed(taylor_green.run(resolution=24, reynolds=20))
    assert any("coefficient of t^2" in name for name in names)


def test_enstrophy_that_is_measured_wrongly_opens_the_budget(monkeypatch):
    right = VorticityFlow.dissipation
    monkeypatch.setattr(VorticityFlow, "dissipation", lambda self, state: 1.001 * right(self, state))
    names = failed(kolmogorov.run(seconds=1))
    assert len(names) == 1
    assert "budget of energy" in names[0]
    assert np.isfinite(kolmogorov.run(seconds=1).checks[-1].observed)


def test_the_published_generator_is_of_first_order_and_solves_the_same_equation():
    """Written anew for the benchmark: its differences to our flow halve with its step, down to those of a short one."""
    x, y = np.meshgrid(*2 * [np.arange(24) / 24], indexing="ij")
    forcing = 0.1 * np.sin(2 * np.pi * (x + y))
    flow = VorticityFlow((24, 24), (1.0, 1.0), 5e-3, forcing=forcing)
    state = flow.to_state(np.sin(2 * np.pi * x) + np.cos(2 * np.pi * (x + 2 * y)))
    sure = flow.to_vorticity(march(flow, state, 0.5, dt=0.005).raise_for_status().states[-1])
    made = [navier_stokes.published(flow.to_vorticity(state), forcing, 5e-3, 0.5 / steps, steps) for steps in (500, 1000)]
    coarse, fine = (np.linalg.norm(w - sure) / np.linalg.norm(sure) for w in made)
    assert fine < 2e-4
    assert coarse / fine == pytest.approx(2.0, abs=0.02)


def test_benchmark_counts_and_compares_errors(monkeypatch):
    """Of its figures all but the times, which depend on the machine; peers that are not installed are said to be left out."""
    monkeypatch.setattr(torch_cfd_flow, "missing", lambda: "torch_cfd is not installed")
    monkeypatch.setattr(exponax_flow, "missing", lambda: "exponax is not installed")
    report = navier_stokes.run(samples=1, step_percent=5)
    console = Console(width=200, file=io.StringIO(), record=True)
    print_checks(report, console)
    told = console.export_text()
    for peer in ("torch-cfd", "exponax"):
        assert re.search(rf"beside {peer} .* left out .* is not installed", told)
    assert report.details["left_out"] == {"torch-cfd": "torch_cfd is not installed", "exponax": "exponax is not installed"}
    checks = {check.name: check for check in report.checks}
    assert checks["error over that of the published generator"].observed < 0.1
    assert checks["right-hand sides of the published generator over ours"].observed == 125.0
    assert report.details["ours"]["error"] < 1e-8
