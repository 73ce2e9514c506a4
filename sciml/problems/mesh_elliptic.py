"""``-div(a grad u) = f`` on a mesh of triangles or tetrahedra: Poisson's equation, and Darcy flow through cellwise constant media."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, model_validator
from pydantic.functional_validators import InstanceOf
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sciml.fields import BinaryField, Constant, GaussianRandomField, Law
from sciml.mesh.mesh import Mesh
from sciml.mesh.points import Points
from sciml.problems.boundary import Dirichlet, Neumann, name_is_kind
from sciml.problems.darcy import Darcy, refuse_nonpositive, refuse_nonpositive_law
from sciml.problems.jet import Jets
from sciml.problems.poisson import Poisson, WaveSolution
from sciml.problems.problem import Array, Parameters, Problem


def _found(value: Any, info: ValidationInfo) -> Any:
    """The mesh itself, or what the loader of recipes finds under its name (``context["mesh"]``)."""
    find = (info.context or {}).get("mesh")
    return find(value) if find is not None and isinstance(value, (str, dict)) else value


MeshField = Annotated[
    InstanceOf[Mesh],
    BeforeValidator(_found),
    PlainSerializer(lambda mesh: {"file": mesh.name, "sha256": mesh.digest}),
]
"""A mesh; in a recipe the name of its file, in the canonical recipe that and its digest."""

PartCondition = Annotated[Annotated[Dirichlet | Neumann, Field(discriminator="kind")], BeforeValidator(name_is_kind)]


class MeshElliptic(Problem):
    """A scalar elliptic problem on a mesh. Solutions and sources have their values at the nodes, coefficients on the cells.

    Parameters
    ----------
    mesh : from `sciml.mesh.read_mesh`; in a recipe the path of its file, relative to the recipe.
    boundary : condition of each boundary part by name; a part that is not named is Dirichlet with value 0. A node that two Dirichlet
        parts share has the value of the one that comes later in the alphabet.
    modes : cosine modes of the bounding box that a random field is made of, along each axis; equal seed words give equal functions
        on every mesh with that box.
    """

    mesh: MeshField
    boundary: dict[str, PartCondition] = Field(default_factory=dict)
    modes: Annotated[int, Field(ge=2, le=256)] = 32

    @model_validator(mode="after")
    def _fits_the_mesh(self) -> Self:
        known = self.mesh.part_names
        for name in self.boundary:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f", did you mean {close[0]!r}?" if close else ":"
                what = f"boundary names {name!r}, which mesh {self.mesh.name!r} does not have"
                raise ValueError(f"{what}{hint} its parts are {', '.join(known)}")
        loose = _components_without(self.mesh, self.dirichlet_parts)
        if loose:
            what = f"{loose} connected piece{'s' if loose > 1 else ''} of mesh {self.mesh.name!r} touch no Dirichlet part"
            raise ValueError(f"{what}, so that a constant may be added to the solution there: make a part Dirichlet")
        for name, law in self.laws().items():
            if name.startswith("boundary_") and law.kind not in ("constant", "uniform"):
                raise ValueError(f"{name} has kind = {law.kind!r}, but boundary data on a mesh are numbers: give a number or a uniform law")
            if isinstance(field := getattr(law, "field", law), GaussianRandomField) and field.boundary != "neumann":
                raise ValueError(f"{name}: boundary = 'periodic' makes no sense on a mesh, whose box does not close: take 'neumann'")
        self.refuse_unfit_laws()
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # `boundary` is a dict

    @property
    def unknown(self) -> str:
        return self.outputs[0]

    @property
    def domain(self) -> Mesh:
        return self.mesh

    @property
    def dirichlet_parts(self) -> tuple[str, ...]:
        kinds = self.part_kinds
        return tuple(name for name in self.mesh.part_names if kinds[name] == "dirichlet")

    @property
    def part_kinds(self) -> dict[str, Literal["dirichlet", "neumann"]]:
        """Kind of the condition on every boundary part."""
        return {name: self.boundary[name].kind if name in self.boundary else "dirichlet" for name in self.mesh.part_names}

    def part_laws(self) -> dict[str, Law]:
        """Laws of the boundary data, named ``boundary_<part>``."""
        return {f"boundary_{name}": self.boundary.get(name, Dirichlet()).data for name in self.mesh.part_names}

    def support(self, name: str) -> Points:
        return self.mesh.centroids(self.modes) if name in self.cell_fields else self.mesh.nodes(self.modes)

    cell_fields: ClassVar[tuple[str, ...]] = ()
    """Parameters that are constant on each cell; the others have their values at the nodes."""

    @abstractmethod
    def coefficient(self, parameters: Parameters) -> Array:
        """a: a positive number, or one for each cell."""

    def source_value(self, parameters: Parameters) -> Array:
        """f: a number, or one at each node."""
        return self.value("source", parameters)

    def dirichlet_value(self, part: str, nodes: Array, parameters: Parameters) -> Array:
        """u at these nodes of a Dirichlet part: a number, or one for each."""
        return self.value(f"boundary_{part}", parameters)

    def flux(self, part: str, points: Array, normals: Array, parameters: Parameters) -> Array:
        """``a du/dn`` on a Neumann part, inflow positive: a number, or one for each corner of each facet, shape (k, d).

        Parameters
        ----------
        points : corners of the part's facets, shape (k, d, d), the last axis being x, y(, z).
        normals : outward unit normals of the facets, shape (k, d).
        """
        return self.value(f"boundary_{part}", parameters)


class MeshPoisson(MeshElliptic):
    """``-Laplacian u = f`` on a mesh.

    Parameters
    ----------
    source : law of f.
    solution : instead of `source`, a manufactured solution from which f and all boundary data follow.
    """

    outputs: ClassVar = ("potential",)

    kind: Literal["mesh_poisson"] = "mesh_poisson"
    source: Law | None = None
    solution: WaveSolution | None = None

    @model_validator(mode="after")
    def _solution_fits(self) -> Self:
        if (self.source is None) == (self.solution is None):
            raise ValueError("give either source or solution: a manufactured solution fixes the source")
        d = self.mesh.dimension
        if self.solution and {len(self.solution.wavenumbers), len(self.solution.phases)} != {d}:
            raise ValueError(f"solution needs {d} wavenumbers and phases on mesh {self.mesh.name!r}")
        return self

    def laws(self) -> dict[str, Any]:
        return {} if self.source is None else {"source": self.source, **self.part_laws()}

    def coefficient(self, parameters: Parameters) -> Array:
        return np.asarray(1.0)

    def source_value(self, parameters: Parameters) -> Array:
        if self.solution:
            return -np.asarray(self.solution.jet(tuple(self.mesh.points.T)).laplacian)
        return super().source_value(parameters)

    def dirichlet_value(self, part: str, nodes: Array, parameters: Parameters) -> Array:
        if self.solution:
            return np.asarray(self.solution.jet(tuple(self.mesh.points[nodes].T)).value)
        return super().dirichlet_value(part, nodes, parameters)

    def flux(self, part: str, points: Array, normals: Array, parameters: Parameters) -> Array:
        if not self.solution:
            return super().flux(part, points, normals, parameters)
        gradient = self.solution.jet(tuple(np.moveaxis(points, -1, 0))).gradient
        assert gradient is not None
        return np.einsum("dkc,kd->kc", np.stack(gradient), normals)

    def exact(self, parameters: Parameters) -> dict[str, Array] | None:
        return {"potential": np.asarray(self.solution.jet(tuple(self.mesh.points.T)).value)} if self.solution else None

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        return Poisson.residual(jets, parameters)


class MeshDarcy(MeshElliptic):
    """``-div(a grad p) = f`` on a mesh, with a permeability that is constant on each cell.

    Parameters
    ----------
    permeability : law of a, evaluated at the centroids; its values must be positive.
    source : law of f, the fluid produced per unit volume, at the nodes.
    """

    outputs: ClassVar = ("pressure",)
    cell_fields: ClassVar = ("permeability",)

    kind: Literal["mesh_darcy"] = "mesh_darcy"
    permeability: Law = BinaryField()
    source: Law = Constant(value=1.0)

    @model_validator(mode="after")
    def _positive(self) -> Self:
        refuse_nonpositive_law(self.permeability)
        return self

    def laws(self) -> dict[str, Any]:
        return {"permeability": self.permeability, "source": self.source, **self.part_laws()}

    def check(self, parameters: Parameters) -> None:
        super().check(parameters)
        refuse_nonpositive(self.value("permeability", parameters))

    def coefficient(self, parameters: Parameters) -> Array:
        return self.value("permeability", parameters)

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        return Darcy.residual(jets, parameters)


def _components_without(mesh: Mesh, parts: tuple[str, ...]) -> int:
    """Connected components of the mesh that none of `parts` touches."""
    n = len(mesh.points)
    i, j = mesh.cells[:, :-1].ravel(), mesh.cells[:, 1:].ravel()
    count, component = connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n)), directed=False)
    touched = [component[mesh.part(name).ravel()] for name in parts]
    return int(count - len(np.unique(np.concatenate(touched)))) if touched else int(count)


def mesh_of(problem: Problem) -> Mesh | None:
    """The mesh that a problem lives on; None on a grid."""
    return problem.mesh if isinstance(problem, MeshElliptic) else None
