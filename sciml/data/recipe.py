"""Recipes: a problem, how to solve it and how many samples to keep, in TOML, checked before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

import sciml
from sciml.data.sequence import sequence_length
from sciml.errors import MeshError, RecipeError
from sciml.mesh import Mesh, read_mesh
from sciml.problems import Incompressible, Problem, problem_kinds
from sciml.problems.base import LARGEST_RESOLUTION, BoxProblem
from sciml.problems.evolving import SMALLEST_RTOL, Evolving

_LARGEST_FILE = 1 << 20
_DOTTED = 10**6
Split = Literal["train", "valid", "test"]
STREAMS: dict[Split, int] = {"train": 0, "valid": 1, "test": 2}
"""Number of the random stream that a split draws its samples from."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SolverSettings(_Section):
    """How samples are solved: `method` as in `solvers.linear_solve`, `rtol` on the true residual.

    "gcrodr" solves blocks of samples as sequences that recycle, see `sciml.data.sequence`. "auto" never takes it: beside it
    multigrid, MINRES or a factorisation was faster; ``python -m validation bench krylov`` prints such a comparison.
    Of a problem that evolves in time `rtol` bounds the time error, and `method` stays "auto".
    """

    method: Literal["auto", "amg", "cg", "fast_poisson", "gcrodr", "lu", "minres", "multigrid_cg"] = "auto"
    rtol: Annotated[FiniteFloat, Field(ge=1e-14, le=1e-2)] = 1e-8


class DataSettings(_Section):
    """How many samples are kept, how they are split, and in what precision.

    `valid` and `test` are the parts of `samples` that go to those splits (rounded to the nearest integer), the rest is train.
    Samples are drawn and solved on a grid that is `oversampling` times finer along each axis than the problem's, and the centre cell
    of every block is kept; odd, so that a block has one, and its centre is that of the coarse cell.
    """

    samples: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    valid: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1
    test: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1
    dtype: Literal["float32", "float64"] = "float32"
    shard_samples: Annotated[int, Field(ge=1, le=100_000)] = 256
    oversampling: Annotated[int, Field(ge=1, le=31)] = 1

    @field_validator("oversampling")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a block of {value} cells has no centre cell: give an odd number")
        return value

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> DataSettings:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid + test = {self.valid + self.test:g} leaves nothing to train on: keep their sum below 1")
        return self


class Recipe(_Section):
    """Everything that the values of a dataset depend on, and its description."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    title: str
    description: str = ""
    problem: SerializeAsAny[Problem]
    solver: SolverSettings = SolverSettings()
    data: DataSettings = DataSettings()

    @field_validator("problem", mode="before")
    @classmethod
    def _by_kind(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return value
        kinds = _known_kinds()
        if "kind" not in value:
            raise ValueError(f"kind is missing; choose one of {', '.join(sorted(kinds))}")
        kind = value["kind"]
        if not isinstance(kind, str) or kind not in kinds:
            raise ValueError(f"kind = {kind!r} is not a known problem{_hint(kind, kinds) or ';'} known: {', '.join(sorted(kinds))}")
        return kinds[kind].model_validate(dict(value), context=info.context)

    @model_validator(mode="after")
    def _fine_grid_exists(self) -> Recipe:
        factor = self.data.oversampling
        if factor == 1:
            return self
        if not isinstance(self.problem, BoxProblem):
            raise ValueError(f"data.oversampling = {factor} needs a problem on a grid: remove it, and refine the mesh")
        finest = max(self.problem.resolution)
        if factor * finest > LARGEST_RESOLUTION:
            what = f"data.oversampling = {factor} asks for {factor * finest} cells along an axis"
            raise ValueError(f"{what}, and {LARGEST_RESOLUTION} is the most: lower it, or problem.resolution")
        return self

    @property
    def solved_problem(self) -> Problem:
        """The problem on the grid that samples are solved on, `data.oversampling` times finer than the one that they are kept on."""
        problem, factor = self.problem, self.data.oversampling
        if factor == 1 or not isinstance(problem, BoxProblem):
            return problem
        return problem.refined(tuple(factor * n for n in problem.resolution))

    def kept(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Of arrays on the grid of `solved_problem` what is stored: the centre cell of every block; numbers as they are."""
        return block_centres(fields, self.data.oversampling, self.problem.domain.dimension)

    @model_validator(mode="after")
    def _solver_fits(self) -> Recipe:
        what = f"problem {self.problem.kind!r} {'evolves in time' if isinstance(self.problem, Evolving) else 'is a flow marched to rest'}"
        if isinstance(self.problem, Evolving | Incompressible):
            if self.solver.method != "auto":
                raise ValueError(f"solver.method = {self.solver.method!r} solves linear systems, and {what}: leave it out")
            if self.solver.rtol < SMALLEST_RTOL:
                raise ValueError(f"solver.rtol = {self.solver.rtol:g}: {what}, where rounding counts below {SMALLEST_RTOL:g}: raise it")
        return self

    def canonical_json(self) -> str:
        """The recipe with every default written out, keys sorted: equal text means equal recipe."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_canonical_json(cls, text: str, mesh: Mesh | None = None) -> Recipe:
        """Inverse of `canonical_json`, given the mesh where the problem has one; raises `RecipeError`."""
        try:
            return cls.model_validate_json(text, context={"mesh": partial(_same_mesh, mesh)})
        except (ValidationError, RecursionError) as error:
            raise RecipeError(f"the stored recipe is not valid: {_sentence(error)}") from None

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that the values of sample i depend on; the number of samples and the prose are left out."""
        content = json.loads(self.canonical_json())
        data = content["data"]
        keep = {"problem": content["problem"], "solver": content["solver"], **{key: data[key] for key in ("seed", "dtype", "oversampling")}}
        if (length := sequence_length(self.solver.method)) > 1:
            keep["sequence"] = length
        return hashlib.sha256(json.dumps(keep, sort_keys=True).encode()).hexdigest()

    def split_sizes(self, samples: int | None = None) -> dict[Split, int]:
        """Samples of each split; they sum to `samples` (None: the recipe's own number)."""
        total = self.data.samples if samples is None else samples
        valid, test = round(self.data.valid * total), round(self.data.test * total)
        return {"train": total - valid - test, "valid": valid, "test": test}


def block_centres(fields: Mapping[str, Any], factor: int, dimension: int) -> dict[str, Any]:
    """The centre cell of every block of `factor` cells, an odd number, along the last `dimension` axes; numbers as they are."""
    centres = slice(factor // 2, None, factor)
    axes = {name: min(value.ndim, dimension) for name, value in fields.items()}  # fewer on a side, one more in front for time
    return {name: value[(..., *(centres,) * axes[name])] for name, value in fields.items()}


def load_recipe(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_path : name of a shipped recipe such as ``"darcy"``, or path of a TOML file.
    overrides : ``"section.key=value"`` strings, the value in TOML notation (a bare word is a string).

    Raises
    ------
    RecipeError : a missing or malformed file, an unknown key (the nearest known one is offered), a value out of its range.
    """
    if isinstance(overrides, str):
        raise RecipeError(f"overrides = {overrides!r} is one text: give a list, as [{overrides!r}]")
    path = _find(name_or_path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise RecipeError(f"recipe {path} has {path.stat().st_size} bytes; a recipe is a small TOML file, is this the right file?")
        text = path.read_text(encoding="utf-8")
        _refuse_long_keys(path, text)
        content = tomllib.loads(text)
    except RecipeError:
        raise
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read ({error.strerror}): check its permissions") from None
    except ValueError as error:  # which also stands for an integer with more digits than Python converts
        raise RecipeError(f"recipe {path} cannot be read as TOML: {error}; correct the file") from None
    except RecursionError:
        raise RecipeError(f"recipe {path} is nested too deeply to be a recipe; flatten it") from None
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, path)


def parse_recipe(content: Mapping[str, Any], path: Path) -> Recipe:
    """A recipe from the entries of the file at `path`, beside which meshes are looked for; raises `RecipeError`."""
    try:
        return Recipe.model_validate(content, context={"mesh": partial(_mesh_beside, path)})
    except (ValidationError, RecursionError) as error:
        raise RecipeError(f"recipe {path.name if path.name != 'recipe.toml' else path.parent.name}: {_sentence(error)}") from None


def _refuse_long_keys(path: Path, text: str) -> None:
    """Python's parser keeps every beginning of a dotted key: one with 20,000 parts, a file of 40 kB, would take gigabytes."""
    pieces = re.split(r"[,=\[\]{}\n]", text)
    if sum(piece.count(".") ** 2 for piece in pieces) > _DOTTED:
        raise RecipeError(f"recipe {path} has dotted keys with thousands of parts, which no recipe has; flatten it")


def list_recipes() -> list[Recipe]:
    """All shipped recipes, by name."""
    return [load_recipe(path) for path in sorted(_shipped().glob("*/recipe.toml"))]


def _shipped() -> Path:
    """Folder of the shipped recipes: inside the package after an installation, `datasets/` beside it in a checkout."""
    package = Path(sciml.__file__).parent
    installed = package / "_datasets"
    return installed if installed.is_dir() else package.parent / "datasets"


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise RecipeError(f"recipe {name_or_path!r} is neither a name nor a path: give one from `sciml list`, or a .toml file")
    text = os.fspath(name_or_path)
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        shipped = _shipped() / text / "recipe.toml"
        if shipped.is_file():
            return shipped
        names = [path.parent.name for path in _shipped().glob("*/recipe.toml")]
        raise RecipeError(
            f"recipe {text!r} is not known{_hint(text, names) or ';'} `sciml list` shows all, or give the path of a .toml file"
        )
    path = Path(text)
    if "\0" in text or not path.is_file():
        raise RecipeError(f"recipe {text!r} is not a file; give the path of a .toml file, or a name from `sciml list`")
    return path


def _mesh_beside(recipe: Path, name: Any) -> Mesh:
    """The mesh that a recipe file names; recipes come from strangers too, so the file has to lie with the recipe."""
    if not isinstance(name, str) or "\0" in name:
        raise MeshError("give the name of a .msh or .vtu file beside the recipe")
    folder = recipe.resolve().parent
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise MeshError("leads outside the folder of the recipe: put the mesh file beside the recipe and give its name")
    return read_mesh(path)


def _same_mesh(mesh: Mesh | None, described: Any) -> Mesh:
    """The mesh that was stored with a dataset, if it is the one that the stored recipe describes."""
    digest = described.get("sha256") if isinstance(described, dict) else None
    if mesh is None or mesh.digest != digest:
        raise MeshError("the mesh stored with the data is not the one of the recipe: generate the dataset again")
    return replace(mesh, name=str(described.get("file", mesh.name)))


def _known_kinds() -> dict[str, type[Problem]]:
    """Problem kinds, with those that other installed packages offer through the entry-point group ``sciml.problems``."""
    for entry in metadata.entry_points(group="sciml.problems"):
        entry.load()
    return problem_kinds()


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names):
        raise RecipeError(f"override {override!r} must read section.key=value, for example problem.resolution=64")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    section = content
    for name in names[:-1]:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise RecipeError(f"override {override!r}: {name!r} is a plain value in this recipe, not a section")
    section[names[-1]] = value


def _hint(word: Any, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f", did you mean {prefix + close[0]!r}?" if close else ""


def _section_of(key: Any) -> str:
    """The section of a recipe that has `key`; empty where none has."""
    sections: dict[str, list[type[BaseModel]]] = {"solver": [SolverSettings], "data": [DataSettings]}
    sections["problem"] = [*problem_kinds().values()]
    return next((name for name, models in sections.items() if any(key in model.model_fields for model in models)), "")


def _sentence(error: ValidationError | RecursionError) -> str:
    """The first complaint of pydantic as one sentence with field, value and remedy."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply; flatten it"
    first, *others = error.errors()
    if first["type"] == "missing":  # what is missing may be there under a misspelt name
        first = next((other for other in others if other["type"] == "extra_forbidden"), first)
    keys = _known_keys()  # a location also names the members of unions that were tried: only keys mean something to a reader
    parts = [part for part in first["loc"] if not isinstance(part, int)]
    if first["type"] == "value_error" and parts and parts[-1] not in keys:
        parts.pop()
    *above, last = parts or [""]
    place = ".".join(str(part) for part in (*(part for part in above if part in keys), last))
    if first["type"] == "extra_forbidden" and not above and _section_of(last):
        return f"unknown key {last!r}, did you mean '{_section_of(last)}.{last}'?"
    if first["type"] == "extra_forbidden" and last in keys:
        return f"key {place!r} does not belong to this kind; remove it, or give the section anew as an inline table {{kind = ...}}"
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}{_hint(last, keys, place.removesuffix(last)) or ';'} remove or correct it"
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):
        return f"{place} = {first['input']!r} has too few entries: give {first['loc'][-1] + 1} at least"
    if first["type"] == "missing":
        return f"{place} is missing; add it"
    message = _PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
    if first["type"] == "union_tag_invalid":
        tags = first["ctx"]["expected_tags"]
        message = f"choose kind from {tags}{_hint(first['ctx']['tag'], tags.split(chr(39)))}"
    if first["type"] in _BOUNDS:
        bound, phrase = _BOUNDS[first["type"]]
        message = f"give a number {phrase} {first['ctx'][bound]:g}"
    value = first["input"]
    shown = f" = {value!r}" if isinstance(value, (str, int, float, bool, list, tuple)) and len(repr(value)) < 80 else ""
    return f"{place}{shown}: {message[0].lower() + message[1:]}".removeprefix(": ")


#: Of pydantic's complaints about a range: where the bound is, and how it is told.
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
_PLAIN = {
    "tuple_type": "give a number, or a list with one entry an axis",
    "model_type": "give a table with its keys",
    "model_attributes_type": "give a table with its keys, or an inline table {kind = ...}",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "too_short": "give one entry at least",
}


def _known_keys() -> set[str]:
    """Every key that some section of a recipe may hold, for nearest-name hints."""
    keys: set[str] = set()
    waiting: list[type[BaseModel]] = [Recipe, *problem_kinds().values()]
    while waiting:
        model = waiting.pop()
        keys |= set(model.model_fields)
        for field in model.model_fields.values():
            waiting += [part for part in _models_in(field.annotation) if not set(part.model_fields) <= keys]
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
