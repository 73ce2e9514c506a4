"""PETSc on one system: run by an interpreter that has petsc4py, which need not be the one that runs the benchmarks.

    PYTHON petsc_program.py SYSTEMS.npz RESULT.npz RTOL

SYSTEMS holds, for each system k, the CSR arrays ``indptr_k, indices_k, data_k`` and the right-hand side ``b_k``. Each is solved with
conjugate gradients on the unpreconditioned residual norm, preconditioned by GAMG and, where PETSc was built with it, by hypre's
BoomerAMG, both with their defaults. RESULT holds ``x_<method>_k, seconds_<method>_k`` (processor time of set-up and solve, without the
creation of the matrix) and ``iterations_<method>_k``. NumPy and petsc4py only.
"""

import sys
import time
from typing import Any

import numpy as np
import petsc4py

petsc4py.init(["petsc_program"])
from petsc4py import PETSc  # noqa: E402  # PETSc wants its arguments first

METHODS = {"gamg": ("gamg", None), "hypre": ("hypre", "boomeramg")}


def solve(A: Any, b: Any, preconditioner: str, kind: str | None, rtol: float) -> tuple[Any, float, int]:
    """Solution, processor seconds and iterations."""
    x, rhs = A.createVecs()
    rhs.setArray(b)
    began = time.process_time()
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setOperators(A)
    ksp.setType("cg")
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    ksp.getPC().setType(preconditioner)
    if kind:
        ksp.getPC().setHYPREType(kind)
    ksp.setTolerances(rtol=rtol, atol=0.0, max_it=500)
    ksp.solve(rhs, x)
    taken = time.process_time() - began
    return x.getArray().copy(), taken, ksp.getIterationNumber()


def main(source: str, target: str, rtol: float) -> None:
    """Solve what is in `source`, write what came of it to `target`."""
    results: dict[str, Any] = {"version": np.array(".".join(map(str, PETSc.Sys.getVersion())))}
    with np.load(source, allow_pickle=False) as systems:
        count = sum(name.startswith("b_") for name in systems.files)
        for k in range(count):
            n = len(systems[f"b_{k}"])
            csr = tuple(systems[f"{part}_{k}"] for part in ("indptr", "indices", "data"))
            A = PETSc.Mat().createAIJ(size=(n, n), csr=csr, comm=PETSc.COMM_SELF)
            A.setOption(PETSc.Mat.Option.SPD, True)
            for method, (preconditioner, kind) in METHODS.items():
                try:
                    if k == 0:
                        solve(A, systems["b_0"], preconditioner, kind, rtol)  # first-time costs are nobody's
                    x, seconds, iterations = solve(A, systems[f"b_{k}"], preconditioner, kind, rtol)
                except PETSc.Error as error:
                    print(f"{method}: {error}", file=sys.stderr)
                    continue
                results |= {f"x_{method}_{k}": x, f"seconds_{method}_{k}": seconds, f"iterations_{method}_{k}": iterations}
    np.savez(target, **results)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
