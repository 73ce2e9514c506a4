"""Make stored samples again from what their files say about them, and compare.

The recipe's text and the seed words are read from ``/provenance`` of the sample's shard; the manifest says where the shard lies, and
by its identity which recipe it has to hold.
Where the shard was written with the same packages, commit and processor as are here, the result has to have the same bits. Elsewhere
another NumPy may round a draw differently, and a solver may stop at another iterate. The outputs may then differ, in relative L2
norm, by ten times the larger of `rtol` and the change that solving to ``rtol / 100`` makes, which is the error that `rtol` leaves in
this very sample; float32 adds its unit roundoff.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.checks import Check
from sciml.data.guard import read_attribute, reading
from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest
from sciml.data.provenance import notes
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.shard import Sample, ShardReader
from sciml.data.solve import Solved, solve_samples
from sciml.errors import DatasetError, InputError
from solvers import SolverError

if TYPE_CHECKING:
    from sciml.data.generate import Progress

#: What another version of NumPy may change in a draw, over the field's largest value.
ULPS = {"float32": 1e-5, "float64": 1e-12}
_SAID = ("recipe", "versions", "git_revision", "processor")
_MARGIN = 10.0
_TIGHTER = 1e-2
_SMALLEST_RTOL = 1e-14
_UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass
class Regenerated:
    """What came out of making samples again.

    Parameters
    ----------
    asked : samples that were to be made again.
    compared : those that could be read and solved.
    chosen : which samples those were to be.
    other_parameters : number of those whose parameters came out differently.
    same_place : number of those that were stored by the same packages, commit and processor as are here.
    other_bits : number of those of `same_place` whose outputs differ in any bit.
    excess : for the others, the relative L2 difference of the worst output over its tolerance.
    places : what differs between here and where the samples were made.
    sentences : where something is wrong.
    """

    asked: int
    compared: int = 0
    chosen: list[str] = field(default_factory=list)
    other_parameters: int = 0
    same_place: int = 0
    other_bits: int = 0
    excess: list[float] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    sentences: list[str] = field(default_factory=list)

    def checks(self) -> list[Check]:
        """One check per statement that there were samples for."""
        found = [
            Check("samples regenerated", self.compared, ">=", self.asked, status="exact"),
            Check("regenerated samples with other parameters", self.other_parameters, "<=", 0, status="exact"),
        ]
        if self.same_place:
            here = "same packages, commit and processor as stored"
            found.append(Check("regenerated samples with other output bits", self.other_bits, "<=", 0, reference=here, status="exact"))
        if self.excess:
            source = f"{_MARGIN:g} x max(rtol, change at rtol x {_TIGHTER:g}); made with another {', '.join(sorted(self.places))}"
            name = "largest difference of regenerated outputs over its tolerance"
            found.append(Check(name, float(np.max(self.excess)), "<=", 1.0, reference=source))
        return found


def regenerate(root: Path, manifest: Manifest, count: int, seed: int, progress: Progress | None = None) -> Regenerated:
    """Make `count` samples of the finished shards again, chosen at random by `seed`; all of them where there are fewer."""
    total = sum(shard.samples for shard in manifest.shards)
    found = Regenerated(min(count, total))
    for reader, positions in _chosen(root, manifest, found.asked, seed, found):
        with reader.file:
            for position in positions:
                where = f"{reader.layout.split} sample {reader.layout.start + position}"
                found.chosen.append(where)
                try:
                    _compare(reader, position, where, found)
                except (InputError, SolverError) as error:
                    found.sentences.append(f"{where} cannot be made again: {error}")
                if progress is not None:
                    progress("regenerate", len(found.chosen), found.asked, {})
    return found


def _chosen(root: Path, manifest: Manifest, count: int, seed: int, found: Regenerated) -> Iterator[tuple[ShardReader, list[int]]]:
    """Open shards with the positions chosen in each."""
    ends = np.cumsum([shard.samples for shard in manifest.shards])
    picked = np.sort(np.random.default_rng(seed).choice(ends[-1] if len(ends) else 0, count, replace=False))
    for shard, end in zip(manifest.shards, ends, strict=True):
        positions = [int(number - (end - shard.samples)) for number in picked if end - shard.samples <= number < end]
        if not positions:
            continue
        try:
            yield ShardReader.open(root, ShardLayout(manifest, shard.split, shard.start, shard.samples), root / shard.path), positions
        except DatasetError as error:
            found.sentences.append(str(error))


def _compare(reader: ShardReader, position: int, where: str, found: Regenerated) -> None:
    with reading(reader.path):
        said = {name: str(read_attribute(reader.file["provenance"], name)) for name in _SAID}
    recipe = Recipe.from_canonical_json(said["recipe"], reader.mesh())
    if recipe.identity != reader.layout.manifest.identity:
        raise DatasetError(f"the recipe in {reader.path} is another than the manifest's: generate the dataset again")
    stored, certificate = reader.sample(position), reader.certificate(position)
    place = (STREAMS[reader.layout.split], reader.layout.start + position)
    again, fresh = _solve(recipe, *place)
    found.compared += 1
    different = _different_places(recipe, said)
    same_words = (fresh.index, fresh.seed_words) == (certificate.index, certificate.seed_words)
    if not same_words or not _same_parameters(recipe, stored, again, exact="numpy" not in different):
        found.other_parameters += 1
        found.sentences.append(f"{where} has other parameters than its recipe and seed words give")
        return
    outputs = recipe.problem.outputs
    same_bits = all(stored[name].tobytes() == again[name].tobytes() for name in outputs)
    if not different:
        found.same_place += 1
        found.other_bits += not same_bits
        if not same_bits:
            found.sentences.append(f"{where} has other outputs than are made from it here, with the same packages and processor")
        return
    found.places |= different
    found.excess.append(0.0 if same_bits else _excess(recipe, place, stored, again))
    if not found.excess[-1] <= 1:
        found.sentences.append(f"{where} has outputs that are {found.excess[-1]:.3g} times their tolerance away from those made here")


def _solve(recipe: Recipe, stream: int, index: int) -> Solved:
    (solved,) = solve_samples(recipe, stream, [index])
    return solved


def _different_places(recipe: Recipe, said: dict[str, str]) -> set[str]:
    """Names of what the shard says about its making that is not so here; packages that no value depends on are passed over."""
    here = notes(recipe)
    different = {name.replace("git_revision", "commit") for name in ("git_revision", "processor") if said[name] != here[name]}
    try:
        there: Any = json.loads(said["versions"])
    except ValueError:
        there = {}
    packages = json.loads(here["versions"])
    used = ("python", "sciml-suite", "numpy", "scipy", "numba", "pyamg")
    return different | {name for name in used if not isinstance(there, dict) or there.get(name) != packages[name]}


def _same_parameters(recipe: Recipe, stored: Sample, again: Sample, exact: bool) -> bool:
    tolerance = 0.0 if exact else ULPS[recipe.data.dtype]
    pairs = ((stored[name], again[name]) for name in recipe.problem.inputs)
    return all(bool(np.abs(one - other).max() <= tolerance * np.abs(other).max()) for one, other in pairs)


def _excess(recipe: Recipe, place: tuple[int, int], stored: Sample, again: Sample) -> float:
    """Largest relative L2 difference over its tolerance, among the outputs."""
    rtol = recipe.solver.rtol
    solver = recipe.solver.model_copy(update={"rtol": max(_TIGHTER * rtol, _SMALLEST_RTOL)})
    try:
        better, _ = _solve(recipe.model_copy(update={"solver": solver}), *place)
    except SolverError:
        better = dict(again)  # rtol is as small as rounding allows, and so is what it leaves
    roundoff = _UNIT_ROUNDOFF[recipe.data.dtype]
    worst = 0.0
    for name in recipe.problem.outputs:
        tolerance = _MARGIN * max(rtol, _distance(again[name], better[name])) + roundoff
        worst = max(worst, _distance(stored[name], again[name]) / tolerance)
    return worst


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    scale = float(np.abs(other).max()) or 1.0  # norms of very small or large numbers would vanish or overflow
    one, other = one.astype(np.float64) / scale, other.astype(np.float64) / scale
    return float(np.linalg.norm(one - other) / (np.linalg.norm(other) or 1.0))
