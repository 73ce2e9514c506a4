"""PETSc on some systems: run by an interpreter that has petsc4py, which need not be the one that runs the benchmarks.

    PYTHON petsc_program.py SYSTEMS.npz RESULT.npz RTOL LIMIT METHOD=KSP:PC[:TYPE] ...

SYSTEMS holds, for each system k, the CSR arrays ``indptr_k, indices_k, data_k`` and the right-hand side ``b_k``. Each is solved with every
method, a Krylov method of PETSc (restarted after 40 steps where it restarts) with a preconditioner, both with their defaults, to RTOL
on the unpreconditioned residual norm in at most LIMIT iterations. TYPE is that of hypre. RESULT holds ``x_<method>_k, seconds_<method>_k``
(processor time of set-up and solve, without the creation of the matrix), ``iterations_<method>_k`` and ``products_<method>_k``, products
with the matrix as PETSc's log counts them. NumPy and petsc4py only.
"""

import sys
import time
from typing import Any

import numpy as np
import petsc4py

petsc4py.init(["petsc_program"])
from petsc4py import PETSc  # noqa: E402  # PETSc wants its arguments first


def solve(A: Any, b: Any, method: str, rtol: float, limit: int) -> tuple[Any, float, int, int]:
    """Solution, processor seconds, iterations and products with the matrix."""
    kind, preconditioner, *rest = method.split(":")
    x, rhs = A.createVecs()
    rhs.setArray(b)
    products = PETSc.Log.Event("MatMult")
    before = products.getPerfInfo()["count"]
    began = time.process_time()
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setOperators(A)
    ksp.setType(kind)
    ksp.getPC().setType(preconditioner)
    if rest:
        ksp.getPC().setHYPREType(rest[0])
    if kind != "cg":
        ksp.setPCSide(PETSc.PC.Side.RIGHT)
        ksp.setFromOptions()
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    ksp.setTolerances(rtol=rtol, atol=0.0, max_it=limit)
    ksp.solve(rhs, x)
    taken = time.process_time() - began
    return x.getArray().copy(), taken, ksp.getIterationNumber(), products.getPerfInfo()["count"] - before


def main(source: str, target: str, rtol: float, limit: int, methods: dict[str, str]) -> None:
    """Solve what is in `source`, write what came of it to `target`."""
    PETSc.Log.begin()
    options = PETSc.Options()
    options["ksp_gmres_restart"] = 40
    options["ksp_dgmres_eigen"] = 4  # a cycle, of at most
    options["ksp_dgmres_max_eigen"] = 20
    results: dict[str, Any] = {"version": np.array(".".join(map(str, PETSc.Sys.getVersion())))}
    with np.load(source, allow_pickle=False) as systems:
        count = sum(name.startswith("b_") for name in systems.files)
        for k in range(count):
            n = len(systems[f"b_{k}"])
            csr = tuple(systems[f"{part}_{k}"] for part in ("indptr", "indices", "data"))
            A = PETSc.Mat().createAIJ(size=(n, n), csr=csr, comm=PETSc.COMM_SELF)
            if all(method.startswith("cg:") for method in methods.values()):
                A.setOption(PETSc.Mat.Option.SPD, True)
            for name, method in methods.items():
                try:
                    if k == 0:
                        solve(A, systems["b_0"], method, rtol, limit)  # first-time costs are nobody's
                    x, seconds, iterations, products = solve(A, systems[f"b_{k}"], method, rtol, limit)
                except PETSc.Error as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                found = {"x": x, "seconds": seconds, "iterations": iterations, "products": products}
                results |= {f"{what}_{name}_{k}": value for what, value in found.items()}
    np.savez(target, **results)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), dict(text.split("=") for text in sys.argv[5:]))
