"""The reproduction of deep conjugate directions: its gates fail where the network does not deliver."""

import numpy as np
import pytest

from validation.cases import dcdm


def failed(checks):
    return [check.name for check in checks if not check.passed]


def table(ours, cg=(100, 200, 400), broken=False):
    """Counts of every method on two systems a grid; `ours` are those of two networks."""
    found = {}
    for n, *counts in zip(dcdm.SIZES, *ours, cg, strict=True):
        *networks, plain = ([dcdm.Count(count, 0.0, 1e-5)] * 2 for count in counts)
        mic = [dcdm.Count(None, 0.0, 1.0)] * 2 if broken else [dcdm.Count(14, 0.0, 1e-5)] * 2
        named = {"one": networks[0], "two": networks[1], "CG": plain}
        found[n] = {**named, "IC(0)-CG": [dcdm.Count(90, 0.0, 1e-5)] * 2, "MIC(0.97)-CG": [dcdm.Count(18, 0.0, 1e-5)] * 2, "MIC(0)-CG": mic}
    return found


def test_gates():
    assert failed(dcdm._checks(table([(4, 5, 6), (4, 4, 4)]), ["one", "two"])) == []
    assert failed(dcdm._checks(table([(4, 5, 7), (4, 4, 4)]), ["one", "two"])) == [
        "growth of the iterations from 64^2 to 256^2, worst network",
    ]
    assert failed(dcdm._checks(table([(7, 8, 7), (4, 4, 4)], cg=(30, 200, 400)), ["one", "two"])) == [
        "64^2: iterations over those of CG, worst system",
        "128^2: iterations over those of IC(0)- or MIC-CG, worst system",
    ]
    assert failed(dcdm._checks(table([(9, 9, 9), (4, 4, 4)], broken=True), ["one", "two"])) == []
    wrong = table([(4, 5, 6), (4, 4, 4)])
    wrong[128]["two"][1] = dcdm.Count(4, 0.0, 2e-4)
    assert failed(dcdm._checks(wrong, ["one", "two"])) == ["128^2: largest relative residual of the networks"]


def test_all_methods_solve_the_same_systems():
    counts = dcdm._solve_all(dcdm._peers(), 24, 1)
    assert len(counts) == 6
    assert all(len(found) == 2 and max(count.residual for count in found) < 1.5 * dcdm.RTOL for found in counts.values())
    assert np.mean([count.effort for count in counts["CG"]]) > 30


def test_figures_of_the_page():
    effort, times, around = dcdm._figures(table([(4, 5, 6), (4, 4, 4)], broken=True))
    drawn = {one["label"]: one["y"] for one in effort["series"]}
    assert (drawn["one"], drawn["CG"], drawn["MIC(0)-CG"]) == ([4, 5, 6], [100, 200, 400], [None] * 3)
    assert effort["series"][0]["x"] == list(dcdm.SIZES)
    assert times["y_label"] == "milliseconds"
    values = np.array(around["values"], float)
    assert values.shape == (96, 96)
    assert 0.05 < np.isnan(values).mean() < 0.5
    assert np.nanmin(values) > 0
    assert len(around["contours"]) == 8


@pytest.mark.slow
def test_the_case_passes():
    report = dcdm.run(seeds=1, layouts=1)
    assert failed(report.checks) == []
    assert len(report.checks) == 11
