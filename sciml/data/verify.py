"""Check a dataset against its manifest, its layout, and the equation that its samples claim to solve."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.checks import Check, CheckReport
from sciml.data.durable import sha256_of_file
from sciml.data.layout import ShardLayout
from sciml.data.manifest import SPLITS, Manifest, ShardEntry, Split, read_manifest
from sciml.data.shard import Certificate, Sample, ShardReader, sample_digest, stored_mesh
from sciml.errors import DatasetError

if TYPE_CHECKING:
    from sciml.data.generate import Progress
    from sciml.data.recipe import Recipe

_SHOWN = 20


@dataclass
class _Findings:
    """What one pass over all samples found; `sentences` say where, the first few of them."""

    samples: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    stored: list[float] = field(default_factory=list)
    recomputed: list[float] = field(default_factory=list)
    excess: list[float] = field(default_factory=list)

    def add(self, kind: str, sentence: str) -> None:
        self.counts[kind] += 1
        if len(self.sentences) < _SHOWN:
            self.sentences.append(sentence)


def verify(path: str | os.PathLike[str], *, regenerate: int = 0, seed: int = 0, progress: Progress | None = None) -> CheckReport:
    """Read every byte of a dataset and recompute what can be recomputed.

    Residuals are recomputed from the stored parameters and outputs with the problem's own operator; an evolving problem is integrated
    anew from its stored initial state, to a quarter of the tolerance and with other steps. The gate is the recipe's
    `rtol`, plus for float32 what rounding the fields to float32 can add at most. Fields that were solved on a finer grid than they are
    kept on have no residual; their stored certificates are checked, and their parameters are drawn anew on the fine grid.

    Parameters
    ----------
    path : the dataset's folder.
    regenerate : number of samples that are drawn and solved again, from the recipe text and the seed words in their files alone; see
        `sciml.data.regenerate` for what has to agree.
    seed : of the choice of those samples.
    progress : called as ``progress("verify", done, total, {})`` after every sample, and likewise with "regenerate".

    Returns
    -------
    CheckReport
        ``details`` hold the number of samples per split, the first sentences about what is wrong with a remedy, and residual figures.

    Raises
    ------
    DatasetError
        The folder has no readable manifest, or one that contradicts its own recipe; damaged shards are reported as failed checks instead.
        Or samples were to be regenerated of imported arrays, or a negative number of them.
    """
    began = time.perf_counter()
    root = Path(path)
    manifest = read_manifest(root)
    recipe = _recipe(root, manifest)
    if regenerate < 0:
        raise DatasetError(f"regenerate = {regenerate} is no number of samples: give 0 or more")
    if regenerate and recipe is None:
        raise DatasetError(f"{root} holds imported arrays, which have no recipe to be made again from: verify it without regenerate")
    found = _Findings()
    done, total = 0, sum(shard.samples for shard in manifest.shards)
    for reader in _sound_shards(root, manifest, found):
        with reader.file:
            for position in range(reader.layout.samples):
                _look_at(reader, position, recipe, found)
                done += 1
                if progress is not None:
                    progress("verify", done, total, {})
    certificate = "residual" if recipe is None else recipe.problem.certificate
    details: dict[str, Any] = {
        "path": str(root),
        "samples": {split: found.samples[split] for split in SPLITS},
        "problems": found.sentences,
        f"stored_{certificate}": _summary(found.stored),
        f"recomputed_{certificate}": _summary(found.recomputed),
    }
    checks = _checks(manifest, recipe, found)
    if regenerate:
        checks += _regenerated(root, manifest, regenerate, seed, details, progress)
    if details["problems"] or not manifest.complete:
        details["remedy"] = _remedy(root, manifest, found)
    return CheckReport(f"verify {manifest.name}", checks, time.perf_counter() - began, details)


def _remedy(root: Path, manifest: Manifest, found: _Findings) -> str:
    if manifest.recipe is None:
        return f"delete {root} and import the arrays again"
    if manifest.complete and not {"layout", "sha256", "checksum"} & found.counts.keys():
        return f"no damage by accident, since the hashes fit: generate {manifest.name!r} again into another folder"
    return f"run the same `sciml generate` command with --out {root} again: it keeps what is intact and makes the rest anew"


def _regenerated(root: Path, manifest: Manifest, count: int, seed: int, details: dict[str, Any], progress: Progress | None) -> list[Check]:
    from sciml.data.regenerate import regenerate  # imported arrays need neither the problems nor the solvers

    made = regenerate(root, manifest, count, seed, progress)
    details["problems"] = [*details["problems"], *made.sentences][:_SHOWN]
    details["regenerated"] = {"seed": seed, "chosen": made.chosen[:_SHOWN], "made_elsewhere_by_another": sorted(made.places)}
    return made.checks()


def _recipe(root: Path, manifest: Manifest) -> Recipe | None:
    if manifest.recipe is None:
        return None
    from sciml.data.recipe import Recipe  # imported arrays need neither the problems nor the solvers

    recipe = Recipe.from_canonical_json(manifest.recipe_json, stored_mesh(root, manifest))
    problem = recipe.problem
    said = {
        "inputs": ({*manifest.inputs, *manifest.scalars}, set(problem.inputs)),
        "outputs": (manifest.outputs, problem.outputs),
        "axes": (manifest.axes, problem.domain.axes),
        "shape": (manifest.shape, problem.domain.shape),
        "times": (manifest.times, getattr(problem, "times", None)),
        "extent": (manifest.extent, problem.domain.extent),
        "dtype": (manifest.dtype, recipe.data.dtype),
        "seed": (manifest.seed, recipe.data.seed),
    }
    for what, (here, there) in said.items():
        if here != there:
            raise DatasetError(f"the manifest of {manifest.name!r} has {what} {here} and its recipe {there}: generate the dataset again")
    return recipe


def _sound_shards(root: Path, manifest: Manifest, found: _Findings) -> Iterator[ShardReader]:
    """Open shards one after another; those that cannot be trusted are reported, and read where they can be."""
    for shard in manifest.shards:
        try:
            reader = ShardReader.open(root, _layout(manifest, shard), root / shard.path)
        except DatasetError as error:
            found.add("layout", str(error))
            continue
        if sha256_of_file(root / shard.path) != shard.sha256:
            found.add("sha256", f"{shard.path} has another SHA-256 than the manifest says")
        yield reader


def _layout(manifest: Manifest, shard: ShardEntry) -> ShardLayout:
    return ShardLayout(manifest, shard.split, shard.start, shard.samples)


def _look_at(reader: ShardReader, position: int, recipe: Recipe | None, found: _Findings) -> None:
    manifest, split = reader.layout.manifest, reader.layout.split
    where = f"{split} sample {reader.layout.start + position}"
    try:
        sample = reader.sample(position)
        certificate = reader.certificate(position)
        recorded = reader.is_recorded(position, sample_digest(manifest, sample))
    except DatasetError as error:
        found.add("checksum", f"{where}: {error}")
        return
    found.samples[split] += 1
    if not recorded:
        found.add("checksum", f"{where} differs from its recorded SHA-256, or was never completed")
    broken = [name for name, value in sample.items() if not np.isfinite(value).all()]
    if broken:
        found.add("nonfinite", f"{where} has NaN or infinite values in {broken[0]!r}")
        return
    _look_for_twin(manifest, sample, where, split, found)
    if recipe is not None:
        _redraw(recipe, split, reader.layout.start + position, sample, certificate, where, found)
        _recompute(recipe, sample, certificate, where, found)


def _look_for_twin(manifest: Manifest, sample: Sample, where: str, split: str, found: _Findings) -> None:
    digest = sha256()
    for name in (*manifest.inputs, *manifest.scalars):
        digest.update(np.ascontiguousarray(sample[name]).data)
    twin = found.inputs.setdefault(digest.hexdigest(), where)
    if twin != where:
        kind = "twin" if twin.startswith(split) else "leak"
        found.add(kind, f"{where} has the same inputs as {twin}")


def _redraw(recipe: Recipe, split: Split, number: int, sample: Sample, certificate: Certificate, where: str, found: _Findings) -> None:
    """Compare the certificate with the sample's place in its split, and the parameters with what the seed words of that place give."""
    from sciml.data.recipe import STREAMS
    from sciml.data.regenerate import ULPS
    from sciml.problems import seed_words

    words = seed_words(recipe.data.seed, STREAMS[split], number)
    if (certificate.index, certificate.seed_words) != (number, words):
        found.add("seeds", f"{where} is certified as sample {certificate.index}, or with seed words that its number does not have")
    for name, drawn in recipe.kept(recipe.solved_problem.sample(words, recipe.data.dtype)).items():
        if not np.abs(sample[name] - drawn).max() <= ULPS[recipe.data.dtype] * np.abs(drawn).max():
            found.add("parameters", f"{where} has another {name!r} than its seed words give")
            return


def _recompute(recipe: Recipe, sample: Sample, certificate: Certificate, where: str, found: _Findings) -> None:
    from sciml.data.evolving import recomputed_residual

    parameters = {name: sample[name] for name in recipe.problem.inputs}
    found.stored.append(certificate.relative_residual)
    try:
        recipe.problem.check(parameters)
        if recipe.data.oversampling > 1:
            return
        residual = recomputed_residual(recipe, parameters, {name: sample[name] for name in recipe.problem.outputs})
    except DatasetError as error:
        found.add("range", f"{where}: {error}")
        return
    rounding = residual.rounding if recipe.data.dtype == "float32" else 1e-6 * recipe.solver.rtol
    found.recomputed.append(residual.relative)
    found.excess.append(residual.relative / (recipe.solver.rtol + rounding))
    if not found.excess[-1] <= 1:
        what = recipe.problem.certificate.replace("_", " ")
        found.add("residual", f"{where} has {what} {residual.relative:.3e}, its gate is {recipe.solver.rtol + rounding:.3e}")


def _checks(manifest: Manifest, recipe: Recipe | None, found: _Findings) -> list[Check]:
    # Per split, and a surplus counts too: one split must not make up for what another lacks.
    missing = sum(abs(manifest.splits.get(split, 0) - found.samples[split]) for split in SPLITS)
    counted = {
        "samples missing": missing,
        "shards that do not follow the layout": found.counts["layout"],
        "shards with another SHA-256": found.counts["sha256"],
        "samples with another SHA-256": found.counts["checksum"],
        "samples with non-finite values": found.counts["nonfinite"],
        "duplicates within a split": found.counts["twin"],
        "duplicates across splits": found.counts["leak"],
    }
    checks = [Check(name, number, "<=", 0, status="exact") for name, number in counted.items()]
    if recipe is None:
        return checks
    checks.append(Check("samples out of range", found.counts["range"], "<=", 0, status="exact"))
    checks.append(Check("samples with other seed words", found.counts["seeds"], "<=", 0, status="exact"))
    drawn = "samples with other parameters than their seed words give"
    checks.append(Check(drawn, found.counts["parameters"], "<=", 0, status="exact"))
    gate = "rtol of the recipe"
    solved_on = _solved_on(recipe, gate)
    what = recipe.problem.certificate.replace("_", " ")
    stored = f"largest stored {'relative residual' if what == 'residual' else what}"
    checks.append(Check(stored, _largest(found.stored), "<=", recipe.solver.rtol, reference=solved_on))
    if recipe.data.oversampling > 1:
        return checks
    rounded = f"{gate} + rounding of the fields to float32" if recipe.data.dtype == "float32" else gate
    checks.append(Check(f"largest recomputed {what} over its gate", _largest(found.excess), "<=", 1.0, reference=rounded))
    return checks


def _solved_on(recipe: Recipe, gate: str) -> str:
    """Says of which grid a stored residual is, where it cannot be recomputed from what is kept of that grid."""
    if recipe.data.oversampling == 1:
        return gate
    cells = " x ".join(str(n) for n in recipe.solved_problem.domain.shape)
    return f"{gate}, on {cells} cells; not recomputed: one in {recipe.data.oversampling} an axis is kept"


def _largest(values: list[float]) -> float:
    """NaN when there is none or one is NaN, which no check passes."""
    return float(np.max(values)) if values else float("nan")


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "max": float(np.max(values))} if values else {}
