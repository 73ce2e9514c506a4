"""The validation cases of the staggered-grid solver pass on coarse grids, and fail where the solver is made wrong."""

import numpy as np
import pytest

from sciml.errors import InputError
from solvers.flow.mac import stepper as mac_stepper
from validation.benchmarks import cavity
from validation.cases import cavity_mac, cylinder_mac, natural_convection_mac, poiseuille, womersley
from validation.peers import openfoam
from validation.reference_tables import rows


def failed(report):
    return [check.name for check in report.checks if not check.passed]


def test_cases_pass_on_coarse_grids():
    assert failed(poiseuille.run(resolution=8)) == []
    assert failed(womersley.run(resolution=32)) == []


def test_natural_convection_on_coarse_grids():
    report = natural_convection_mac.run(resolution=32)
    assert [name for name in failed(report) if "Ra = 10000" not in name] == []


def test_cavity_on_coarse_grids():
    """Order and profiles at Re = 100; at Re = 400 this is too coarse, and an extrapolation wants more than both."""
    report = cavity_mac.run(resolution=48)
    assert [name for name in failed(report) if "Re = 100" in name and "extrapolated" not in name] == []
    assert sum("Re = 100" in check.name for check in report.checks) == 5
    u, v, streamlines, vorticity = report.details["figures"][:4]
    for figure, table in ((u, "cavity_converged_u"), (v, "cavity_converged_v")):
        drawn = {one["label"]: (np.array(one["x"]), np.array(one["y"])) for one in figure["series"]}
        assert set(drawn) == {"48 x 48 cells", "converged, spectral", "Ghia, Ghia and Shin 1982"}
        at, exact = np.array([[float(line[key]) for key in (figure["x_label"], f"{figure['title'][0]}_Re100")] for line in rows(table)]).T
        order = np.argsort(at)[1:-1]
        for label, off in (("48 x 48 cells", 0.02), ("converged, spectral", 2e-3), ("Ghia, Ghia and Shin 1982", 0.01)):
            curve = np.array(drawn[label])[:, np.argsort(drawn[label][0])]
            assert np.abs(np.interp(at[order], *curve) - exact[order]).max() < off
    assert min(map(min, streamlines["values"])) == pytest.approx(-0.1035, rel=0.02)
    centre = [int(np.abs(np.array(vorticity[axis]) - at).argmin()) for axis, at in (("x", 0.6162), ("y", 0.7374))]
    assert vorticity["values"][centre[1]][centre[0]] == pytest.approx(-3.1666, rel=0.03)  # Ghia, Ghia and Shin, Table V


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_wrong_viscosity_is_found(monkeypatch, factor):
    right = mac_stepper.Stepper._coefficients

    def wrong(self):
        table = right(self)
        table[:, 3:6] *= factor
        return table

    monkeypatch.setattr(mac_stepper.Stepper, "_coefficients", wrong)
    assert len(failed(poiseuille.run(resolution=8))) >= 2
    assert len(failed(womersley.run(resolution=32))) >= 2


def test_benchmark_says_why_the_peer_is_left_out(monkeypatch):
    monkeypatch.setattr("validation.peers.openfoam.PROGRAMS", ("icoFoamThatIsNotThere",))
    report = cavity.run(largest=32)
    assert report.left_out == {"OpenFOAM": "icoFoamThatIsNotThere is not on the path"}
    assert [check.name for check in report.checks] == ["order of the last refinement"]
    assert report.passed
    with pytest.raises(InputError, match="reynolds = 250"):
        cavity.run(reynolds=250)


@pytest.mark.skipif(openfoam.missing() is not None, reason="icoFoam is not installed: apt-get install openfoam")
def test_the_peer_computes_the_same_flow():
    """Two codes, one flow: their profiles deviate from one another by their errors."""
    report = cavity.run(largest=32)
    own, theirs = report.details["own"][-1], report.details[openfoam.version()][-1]
    assert 0.5 < theirs["error"] / own["error"] < 2
    flow = openfoam.cavity(32, 100, 20.0, 0.8).velocity
    exact = cavity_mac.profile(cavity_mac.march(32, 100)).extrema
    assert flow[0][15:17].mean(axis=0).min() == pytest.approx(exact[0], abs=3e-3)
    assert flow[1][:, 15:17].mean(axis=1).max() == pytest.approx(exact[1], abs=3e-3)


@pytest.mark.slow
def test_cylinder():
    assert failed(cylinder_mac.run()) == []
