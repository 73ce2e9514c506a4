"""Generation on many machines: every task writes one shard into the folder that all of them share.

A task may run twice, and two attempts may even overlap, where a worker was only thought to be dead. So each attempt writes a file
of its own beside the shard's place and returns its name and SHA-256. The process that asked for it alone gives the file the
shard's name and enters it in the manifest, and removes all other attempts; an attempt whose file has been removed stops.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest, Split, read_manifest
from sciml.data.provenance import notes, versions
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.sequence import next_chunk, sequence_length
from sciml.data.solve import solve_samples
from sciml.data.writer import PART, ShardWriter
from sciml.errors import ClusterError, DatasetError
from sciml.mesh import Mesh
from sciml.problems.mesh_elliptic import mesh_of

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)
#: Seconds to wait for a scheduler to answer.
_PATIENCE = 10
#: Seconds to wait for a first worker before somebody is told that there is none.
_WORKERS_PATIENCE = 3
#: Samples between two looks at whether the result is still wanted, and between two flushes.
_CHUNK = 64
_COMPARED = ("python", "sciml-suite", "numpy", "scipy", "numba", "pyamg", "h5py")
#: Samples are solved with one thread (see `processes.one_thread`), which is a setting of the whole process.
_one_task = threading.Lock()


@dataclass(frozen=True)
class WrittenShard:
    """A full shard under a name of its own.

    Parameters
    ----------
    name, sha256 : of the file, in the folder that the shard belongs to.
    solved : samples that were made, not taken over from an unfinished shard.
    residual, iterations : the largest of them.
    """

    name: str
    sha256: str
    solved: int
    residual: float
    iterations: int


def submit_shard(pool: Executor, recipe: Recipe, root: Path, layout: ShardLayout) -> Future[WrittenShard]:
    """Have `write_shard` run by a worker."""

    # A function inside a function travels by its code, and its arguments are text, numbers and arrays: a worker that cannot import this
    # package says so, where a reference to the package would end the worker, and the scheduler does not need the package at all.
    def on_worker(*message: Any) -> Any:
        from sciml.data.cluster import receive_shard

        return receive_shard(*message)

    manifest = layout.manifest.model_copy(update={"shards": ()}).model_dump_json()  # a message need not carry what is finished
    mesh = mesh_of(recipe.problem)
    parts = None if mesh is None else (mesh.points, mesh.cells, mesh.facets, mesh.facet_parts, mesh.part_names, mesh.name)
    return pool.submit(on_worker, recipe.canonical_json(), parts, str(root), manifest, layout.split, layout.start, layout.samples)


def receive_shard(
    recipe: str, mesh: tuple[Any, ...] | None, root: str, manifest: str, split: Split, start: int, samples: int
) -> WrittenShard:
    """`write_shard` for the message of `submit_shard`."""
    layout = ShardLayout(Manifest.model_validate_json(manifest), split, start, samples)
    return write_shard(Recipe.from_canonical_json(recipe, None if mesh is None else Mesh(*mesh)), Path(root), layout)


def write_shard(recipe: Recipe, root: Path, layout: ShardLayout) -> WrittenShard:
    """Solve all samples of a shard and write it into the dataset folder `root`; runs on a worker of the cluster.

    Raises
    ------
    ClusterError
        This machine does not see the dataset at `root`, or has other versions of the packages that the values depend on.
    SolverError
        As `solve_samples`.
    """
    _refuse_stranger(root, layout)
    with _one_task:
        writer = ShardWriter(root, layout, notes(recipe), mesh_of(recipe.problem), suffix=f"{PART}.{uuid.uuid4().hex[:12]}")
        try:
            return _fill(recipe, writer)
        except BaseException:
            writer.close()
            writer.part.unlink(missing_ok=True)
            raise


def _fill(recipe: Recipe, writer: ShardWriter) -> WrittenShard:
    layout, missing = writer.layout, deque(sorted(writer.missing))
    count, length = len(missing), sequence_length(recipe.solver.method)
    residual, iterations = 0.0, 0
    while missing:
        positions = next_chunk(missing, _CHUNK, layout.start, length)
        if not writer.part.exists():
            raise ClusterError(f"{writer.part} was removed while it was written: its result is no longer wanted")
        solved = solve_samples(recipe, STREAMS[layout.split], [layout.start + position for position in positions])
        writer.extend([(position, *made) for position, made in zip(positions, solved, strict=True)])
        residual = max(residual, *(certificate.relative_residual for _, certificate in solved))
        iterations = max(iterations, *(certificate.iterations for _, certificate in solved))
    return WrittenShard(writer.part.name, writer.seal(), count, residual, iterations)


def _refuse_stranger(root: Path, layout: ShardLayout) -> None:
    """Look whether this machine may write for the process that described `layout`."""
    host, wanted, here = socket.gethostname(), layout.manifest.versions, versions()
    for package in _COMPARED:
        if here[package] != wanted[package]:
            what = f"the worker on {host} has {package} {here[package]} and this process has {wanted[package]}"
            raise ClusterError(f"{what}: install the same packages for both, so that samples do not depend on where they are made")
    try:
        same = read_manifest(root).identity == layout.manifest.identity
    except DatasetError:
        same = False
    if not same:
        what = f"the worker on {host} does not see the dataset at {root}"
        raise ClusterError(f"{what}: give a folder on a file system that this machine shares with all workers")


def refuse_other_versions(found: Mapping[str, Any]) -> None:
    """Raise ClusterError unless all sides of `distributed.Client.get_versions()` can exchange tasks: code and protocol have versions."""
    here = found["client"]["packages"]
    for place, there in {"the scheduler": found["scheduler"], **found["workers"]}.items():
        for package in ("python", "distributed"):
            if (version := there["packages"][package]) != here[package]:
                what = f"{place} has {package} {version} and this process has {here[package]}"
                raise ClusterError(f"{what}: install the same packages on all machines")


def _tell_of_missing_workers(client: Client, address: str) -> None:
    """Log a warning where no worker has joined after a few seconds; one that joins later gets its share all the same."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_PATIENCE)
    except TimeoutError:
        _log.warning("no worker has joined %s: start `dask worker %s` on the machines that are to solve; waiting ...", address, address)


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of a running dask scheduler as an executor; what nobody waits for any more is cancelled when the block ends.

    Parameters
    ----------
    address : of the scheduler, as ``tcp://host:8786``.

    Raises
    ------
    ClusterError
        `distributed` is not installed, nobody answers, the other side has other versions, or the cluster went away.
    """
    try:
        from distributed import Client
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ClusterError("a cluster needs the package `distributed`: install it with `pip install 'sciml-suite[cluster]'`") from None
    if not re.fullmatch(r"(tcp|tls)://[^/\s]+:[0-9]{1,5}", address):
        raise ClusterError(f"cluster = {address!r} is not the address of a scheduler: give one such as tcp://host:8786")
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"no dask scheduler answers at {address!r} ({reason}): start `dask scheduler` and give its address") from None
    with client:
        refuse_other_versions(client.get_versions())  # type: ignore[arg-type]  # a coroutine in asynchronous clients only
        _tell_of_missing_workers(client, address)
        pool = client.get_executor(pure=False)
        try:
            yield pool
        except KilledWorker as error:
            raise ClusterError(
                f"a shard ended {error.allowed_failures + 1} workers one after another, killed for want of memory perhaps: "
                "give the workers more memory or set fewer data.shard_samples, then run the same command again"
            ) from None
        except (CommClosedError, CancelledError):
            raise ClusterError(f"the scheduler at {address!r} went away: what is complete is kept, run the same command again") from None
        except ModuleNotFoundError as error:
            raise ClusterError(f"a worker cannot import {error.name!r}: install the same packages for all workers as here") from None
        finally:
            pool.shutdown(wait=False)
