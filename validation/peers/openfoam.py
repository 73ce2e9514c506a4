"""OpenFOAM's icoFoam (PISO, second-order central differences) on the lid-driven cavity, where it is installed."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PROGRAMS = ("blockMesh", "icoFoam")


@dataclass(frozen=True)
class FoamCavity:
    """Velocity in the cell centres, shape (2, n, n) indexed [component, x, y], processor seconds of icoFoam alone, and steps."""

    velocity: Array
    seconds: float
    steps: int


def missing() -> str | None:
    """Which program is not there; None where both are."""
    return next((f"{name} is not on the path" for name in PROGRAMS if shutil.which(name) is None), None)


def version() -> str:
    """What icoFoam calls itself."""
    printed = subprocess.run(["icoFoam", "-help"], env=_environment(), capture_output=True, text=True, check=False).stdout
    found = re.search(r"Using: OpenFOAM-? ?\(?([^\s)]+)", printed)
    return f"OpenFOAM {found.group(1)}, icoFoam" if found else "OpenFOAM, icoFoam"


def cavity(n: int, reynolds: float, end: float, courant: float) -> FoamCavity:
    """The cavity with a unit lid on n x n cells, from rest to time `end`, with steps of `courant` cells."""
    steps = int(np.ceil(end * n / courant))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in _files(n, reynolds, end, end / steps).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(_header(path) + text)
        _run("blockMesh", folder)
        before = _children()
        _run("icoFoam", folder)
        seconds = _children() - before
        last = max((path for path in folder.iterdir() if re.fullmatch(r"[0-9.e+-]+", path.name)), key=lambda path: float(path.name))
        values = re.findall(r"\(([-0-9.e+]+) ([-0-9.e+]+) [-0-9.e+]+\)", (last / "U").read_text().partition("boundaryField")[0])
    cells = np.array(values, float)  # numbered along x first
    return FoamCavity(cells.reshape(n, n, 2).transpose(2, 1, 0), seconds, steps)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(program: str, folder: Path) -> None:
    done = subprocess.run([program], cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {(done.stderr or done.stdout)[-500:]}")


def _environment() -> dict[str, str]:
    """Debian's package leaves it to its user to say where the settings are."""
    return {"WM_PROJECT_DIR": "/usr/share/openfoam", **os.environ, "OMP_NUM_THREADS": "1"}


def _header(path: str) -> str:
    kind = {"0/U": "volVectorField", "0/p": "volScalarField"}.get(path, "dictionary")
    return f"FoamFile {{ version 2.0; format ascii; class {kind}; object {Path(path).name}; }}\n"


def _files(n: int, reynolds: float, end: float, dt: float) -> dict[str, str]:
    walls = "lid { type wall; faces ((3 7 6 2)); } still { type wall; faces ((0 4 7 3) (2 6 5 1) (1 5 4 0)); }"
    empty = "frontAndBack { type empty; faces ((0 3 2 1) (4 5 6 7)); }"
    return {
        "system/blockMeshDict": f"""
scale 1;
vertices ((0 0 0) (1 0 0) (1 1 0) (0 1 0) (0 0 0.1) (1 0 0.1) (1 1 0.1) (0 1 0.1));
blocks (hex (0 1 2 3 4 5 6 7) ({n} {n} 1) simpleGrading (1 1 1));
edges ();
boundary ({walls} {empty});
""",
        "system/controlDict": f"""
application icoFoam; startFrom startTime; startTime 0; stopAt endTime; endTime {end}; deltaT {dt:.17g};
writeControl timeStep; writeInterval {round(end / dt)}; writeFormat ascii; writePrecision 12; timePrecision 12;
""",
        "system/fvSchemes": """
ddtSchemes { default Euler; } gradSchemes { default Gauss linear; } divSchemes { default none; div(phi,U) Gauss linear; }
laplacianSchemes { default Gauss linear orthogonal; } interpolationSchemes { default linear; } snGradSchemes { default orthogonal; }
""",
        "system/fvSolution": """
solvers
{
    p { solver GAMG; smoother DICGaussSeidel; tolerance 1e-07; relTol 0.05; }
    pFinal { $p; relTol 0; }
    U { solver smoothSolver; smoother symGaussSeidel; tolerance 1e-07; relTol 0; }
}
PISO { nCorrectors 2; nNonOrthogonalCorrectors 0; pRefCell 0; pRefValue 0; }
""",
        "constant/transportProperties": f"nu {1 / reynolds:.17g};\n",
        "0/U": """
dimensions [0 1 -1 0 0 0 0]; internalField uniform (0 0 0);
boundaryField { lid { type fixedValue; value uniform (1 0 0); } still { type noSlip; } frontAndBack { type empty; } }
""",
        "0/p": """
dimensions [0 2 -2 0 0 0 0]; internalField uniform 0;
boundaryField { lid { type zeroGradient; } still { type zeroGradient; } frontAndBack { type empty; } }
""",
    }
