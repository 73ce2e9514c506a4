"""The one shape of every figure that judges."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from sciml.checks import Check, CheckReport, environment, strict_json


@pytest.mark.parametrize(
    ("observed", "relation", "expected", "passed"),
    [
        (1.0, "<=", 1.0, True),
        (math.nextafter(1.0, 2.0), "<=", 1.0, False),
        (1.0, ">=", 1.0, True),
        (math.nextafter(1.0, 0.0), ">=", 1.0, False),
        (1.9, "in", (1.9, 2.1), True),
        (2.1, "in", (1.9, 2.1), True),
        (2.1000001, "in", (1.9, 2.1), False),
        (-math.inf, "<=", 0.0, True),
        (math.inf, "in", (0.0, 1.0), False),
    ],
)
def test_a_check_passes_exactly_inside_its_gate(observed: float, relation: str, expected, passed: bool) -> None:
    assert Check("x", observed, relation, expected).passed is passed


@pytest.mark.parametrize(("relation", "expected"), [("<=", math.inf), (">=", -math.inf), ("in", (-math.inf, math.inf))])
def test_nan_never_passes(relation: str, expected) -> None:
    assert not Check("x", math.nan, relation, expected).passed


@pytest.mark.parametrize(("relation", "expected"), [("in", 1.0), ("<=", (0.0, 1.0)), (">=", (0.0, 1.0))])
def test_a_gate_of_the_wrong_shape_is_refused_at_once(relation: str, expected) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Check("x", 0.5, relation, expected)


def test_a_report_passes_only_with_checks_that_all_pass() -> None:
    good, bad = Check("good", 0.0, "<=", 1.0), Check("bad", 2.0, "<=", 1.0)
    assert CheckReport("r", [good, good], 0.1).passed
    assert not CheckReport("r", [good, bad], 0.1).passed
    assert not CheckReport("r", [], 0.1).passed


def test_json_has_the_published_schema_and_is_strict() -> None:
    check = Check("order", math.nan, "in", (1.9, math.inf), unit="1", reference="theory", status="exact")
    text = CheckReport("study", [check], 2.5, {"errors": (1.0, math.nan), 3: "x"}).to_json()

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    report = json.loads(text, parse_constant=refuse)
    assert set(report) == {"name", "checks", "passed", "seconds", "environment", "details"}
    assert report["checks"] == [
        {
            "name": "order",
            "observed": None,
            "relation": "in",
            "expected": [1.9, None],
            "unit": "1",
            "reference": "theory",
            "status": "exact",
            "passed": False,
        }
    ]
    assert (report["name"], report["passed"], report["seconds"]) == ("study", False, 2.5)
    assert report["details"] == {"errors": [1.0, None], "3": "x"}


def test_strict_json_has_words_for_everything() -> None:
    value = {1: (math.nan, [math.inf, {"x": -math.inf}]), "y": 0.5, "z": None, "path": Path("a/b")}
    assert json.loads(strict_json(value)) == {"1": [None, [None, {"x": None}]], "y": 0.5, "z": None, "path": "a/b"}


def test_environment_names_versions_without_importing_the_packages() -> None:
    code = "import sys, sciml.checks as c; print(c.environment()['versions']['torch'], [m for m in ('torch', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded = result.stdout.split(maxsplit=1)
    assert version[0].isdigit()
    assert loaded.strip() == "[]"
    assert environment()["cores"] >= 1
