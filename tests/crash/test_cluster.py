"""A dask scheduler and its workers on this machine: the same bytes as in one process, whoever is killed in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from sciml import generate, load_recipe
from sciml.data import cluster
from sciml.data.generate import describe
from sciml.data.layout import ShardLayout
from sciml.data.manifest import read_manifest
from sciml.data.provenance import notes
from sciml.data.recipe import Recipe
from sciml.data.solve import draw
from sciml.data.store import Store
from sciml.data.verify import verify
from sciml.errors import ClusterError, DatasetError
from sciml.problems import seed_words

distributed = pytest.importorskip("distributed")

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 480
WITHOUT_PACKAGE = "import sys; sys.modules['sciml'] = None; "


def recipe() -> Recipe:
    """Darcy flow on 16 x 16 cells in shards of 32 samples."""
    return load_recipe("darcy", ["problem.resolution=16", "data.shard_samples=32", "data.seed=5"])


class LocalCluster:
    """A scheduler and workers as processes of their own, each worker a single process without a nanny that restarts it."""

    def __init__(self, folder: Path, allowed_failures: int = 3) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
        }
        self._file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "", "--host", "127.0.0.1", "--port", "0")
        patience = time.monotonic() + 60
        # dask makes the file before it fills it
        while not (self._file.exists() and self._file.read_text().rstrip().endswith("}")) and time.monotonic() < patience:
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]

    def add_worker(self, prelude: str = "") -> None:
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder))
        self.workers.append(self._start("worker", prelude, *options))
        with distributed.Client(self.address, timeout=60, set_as_default=False) as client:
            alive = sum(worker.poll() is None for worker in self.workers)
            client.wait_for_workers(alive, timeout=60)

    def _start(self, role: str, prelude: str, *options: str) -> subprocess.Popen[bytes]:
        code = f"{prelude}from distributed.cli.dask_{role} import main; main()"
        command = [sys.executable, "-c", code, "--scheduler-file", str(self._file), "--no-dashboard", *options]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(30)


Start = Callable[..., LocalCluster]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[LocalCluster] = []

    def start_cluster(workers: int, **options: Any) -> LocalCluster:
        folder = tmp_path / f"cluster-{len(begun)}"
        folder.mkdir()
        begun.append(LocalCluster(folder, **options))
        for _ in range(workers):
            begun[-1].add_worker()
        return begun[-1]

    try:
        yield start_cluster
    finally:
        for each in begun:
            each.end()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cluster") / "whole"
    generate(recipe(), path, samples=SAMPLES)
    return path


def digests(root: Path, scratch: Path) -> dict[str, str]:
    """SHA-256 of every shard after the only thing that differs from run to run, the time that each solve took, was set to zero."""
    found = {}
    for path in sorted(root.rglob("*.hdf5")):
        shutil.copy(path, scratch / "shard.hdf5")
        with h5py.File(scratch / "shard.hdf5", "r+") as file:
            assert (file["provenance/solve_seconds"][()] > 0).all()
            file["provenance/solve_seconds"][()] = 0
        found[str(path.relative_to(root))] = hashlib.sha256((scratch / "shard.hdf5").read_bytes()).hexdigest()
    return found


def check_equal(path: Path, whole: Path, scratch: Path) -> None:
    assert digests(path, scratch) == digests(whole, scratch)
    assert (path / "stats.yaml").read_bytes() == (whole / "stats.yaml").read_bytes()
    assert sorted(item.name for item in path.rglob("*") if ".part" in item.name) == []
    assert verify(path).passed


def in_hand(pid: int) -> Path:
    """The shard that a worker is writing; waits until it writes one."""
    patience = time.monotonic() + 20
    while time.monotonic() < patience:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if ".part." in (target := os.readlink(handle)) and not target.endswith((".new", "(deleted)")):
                    return Path(target)
    raise AssertionError("the worker wrote no shard")


def attempts(path: Path) -> list[Path]:
    return sorted(path.glob("data/*/*.part.*"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for open files in /proc")
def test_killed_worker_leaves_no_trace_in_the_data(start: Start, whole: Path, tmp_path: Path) -> None:
    dask, path = start(2), tmp_path / "data"
    reports: list[tuple[int, int]] = []
    left: list[Path] = []

    def kill_one(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if not reports:
            left.append(in_hand(dask.workers[0].pid))
            dask.workers[0].kill()
            dask.workers[0].wait(10)
            assert left[0].exists(), "it was not killed in the middle of a shard"
        reports.append((done, total))

    result = generate(recipe(), path, samples=SAMPLES, cluster=dask.address, progress=kill_one)
    (file,) = left
    assert not file.exists()
    assert dask.workers[1].poll() is None
    assert result.generated == SAMPLES
    assert result.worst_residual is not None
    assert 0 < result.worst_residual <= 1e-8
    assert reports == sorted(set(reports))
    assert reports[-1] == (SAMPLES, SAMPLES)
    check_equal(path, whole, tmp_path)


def test_unfinished_shards_are_completed_elsewhere(start: Start, whole: Path, tmp_path: Path) -> None:
    """Begun here and interrupted, gone on with by a cluster and interrupted, completed by another call."""
    dask, path = start(2), tmp_path / "data"

    def stopping_at(count: int) -> Callable[..., None]:
        def stop(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
            if done >= count:
                raise KeyboardInterrupt

        return stop

    with pytest.raises(KeyboardInterrupt):
        generate(recipe(), path, samples=SAMPLES, progress=stopping_at(1))
    assert [item.name for item in path.rglob("*.part")] == ["shard-00000.hdf5.part"]
    with pytest.raises(KeyboardInterrupt):
        generate(recipe(), path, samples=SAMPLES, cluster=dask.address, progress=stopping_at(100))
    assert attempts(path) == []
    done = sum(read_manifest(path).covered(split) for split in ("train", "valid", "test"))  # shards come in any order
    assert done >= 100
    result = generate(recipe(), path, samples=SAMPLES, cluster=dask.address)
    assert result.already_there == done
    check_equal(path, whole, tmp_path)


def test_shard_that_ends_its_workers_is_reported(start: Start, tmp_path: Path) -> None:
    dask, path = start(1, allowed_failures=0), tmp_path / "data"
    with pytest.raises(ClusterError, match=r"a shard ended 1 workers? one after another.*run the same command again"):
        generate(recipe(), path, samples=SAMPLES, cluster=dask.address, progress=lambda *_: dask.workers[0].kill())
    done = read_manifest(path).covered("train")
    dask.add_worker()
    assert generate(recipe(), path, samples=done + 32, cluster=dask.address).already_there == done


def test_scheduler_that_goes_away(start: Start, tmp_path: Path) -> None:
    dask, path = start(1), tmp_path / "data"
    with pytest.raises(ClusterError, match=r"scheduler at 'tcp://.*' went away: what is complete is kept"):
        generate(recipe(), path, samples=SAMPLES, cluster=dask.address, progress=lambda *_: dask.scheduler.kill())
    done = read_manifest(path).covered("train")
    assert done > 0
    assert generate(recipe(), path, samples=done + 10).already_there >= done


def test_waiting_for_a_first_worker_is_told_and_ends_when_one_joins(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sciml.data.cluster._WORKERS_PATIENCE", 0.2)
    dask = start(0)

    class Joining(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            dask.add_worker()

    handler, last_resort = Joining(), threading.Timer(20.0, dask.add_worker)  # or a test without the warning would wait for ever
    last_resort.start()
    logging.getLogger("sciml.data.cluster").addHandler(handler)
    try:
        assert generate(recipe(), tmp_path / "data", samples=4, cluster=dask.address).generated == 4
    finally:
        last_resort.cancel()
        logging.getLogger("sciml.data.cluster").removeHandler(handler)
    assert f"no worker has joined {dask.address}: start `dask worker {dask.address}`" in caplog.text


def test_worker_without_the_package(start: Start, tmp_path: Path) -> None:
    dask = start(0)
    dask.add_worker(WITHOUT_PACKAGE)
    with pytest.raises(ClusterError, match=r"a worker cannot import 'sciml.*': install the same packages"):
        generate(recipe(), tmp_path / "data", samples=SAMPLES, cluster=dask.address)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "localhost", "http://localhost:80", ""])
def test_no_scheduler_is_one_sentence(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with pytest.raises(ClusterError, match=r"no dask scheduler answers at|is not the address of a scheduler") as caught:
        generate(recipe(), tmp_path / "data", samples=8, cluster=address)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_exit_code_and_sentence_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sciml", "generate", "darcy", "--cluster", "localhost:8786", "--out", str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line == "error: cluster = 'localhost:8786' is not the address of a scheduler: give one such as tcp://host:8786"


def test_distributed_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'sciml-suite\[cluster\]'"):
        generate(recipe(), tmp_path / "data", samples=8, cluster="tcp://127.0.0.1:1")


def test_workers_here_and_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers = 2 solve here, and cluster = 'tcp://a:1' solves elsewhere: give one of the two"):
        generate(recipe(), tmp_path / "data", samples=8, workers=2, cluster="tcp://a:1")


@pytest.mark.parametrize(("place", "package"), [("scheduler", "distributed"), ("tcp://10.0.0.7:4000", "python")])
def test_other_versions_of_what_carries_the_tasks(place: str, package: str) -> None:
    def side() -> dict[str, Any]:
        return {"packages": {"python": "3.11.7.final.0", "distributed": "2026.8.0"}}

    found = {"scheduler": side(), "workers": {"tcp://10.0.0.7:4000": side()}, "client": side()}
    cluster.refuse_other_versions(found)
    other = found["scheduler"] if place == "scheduler" else found["workers"][place]
    other["packages"][package] = "0.1"
    with pytest.raises(ClusterError, match=rf"{place} has {package} 0\.1 and this process has .*: install the same packages"):
        cluster.refuse_other_versions(found)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple[Store, ShardLayout]]:
    """An open store of 8 samples and the layout of its first shard."""
    with pytest.raises(KeyboardInterrupt):
        generate(recipe(), tmp_path / "data", samples=8, progress=_stop)
    with Store(tmp_path / "data", read_manifest(tmp_path / "data"), notes(recipe())) as store:
        yield store, next(store.lacking())


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_worker_with_other_packages(begun: tuple[Store, ShardLayout]) -> None:
    store, layout = begun
    other = layout.manifest.model_copy(update={"versions": {**layout.manifest.versions, "numpy": "1.0"}})
    with pytest.raises(ClusterError, match=r"the worker on .* has numpy 2\..* and this process has 1\.0: install the same packages"):
        cluster.write_shard(recipe(), store.root, replace(layout, manifest=other))


def test_folder_that_the_worker_does_not_see(begun: tuple[Store, ShardLayout], tmp_path: Path) -> None:
    _, layout = begun
    generate(load_recipe("poisson", ["problem.resolution=8"]), tmp_path / "another", samples=2)
    for root in (tmp_path / "nowhere", tmp_path / "another"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(ClusterError, match=r"does not see the dataset at .*: give a folder on a file system that this machine shares"):
            cluster.write_shard(recipe(), root, layout)
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", ["another disk", "other bytes"])
def test_shard_that_is_not_what_the_worker_wrote(begun: tuple[Store, ShardLayout], what: str) -> None:
    store, layout = begun
    written = cluster.write_shard(recipe(), store.root, layout)
    aside = (store.root / layout.path).with_name(written.name)
    if what == "another disk":
        aside.unlink()
    else:
        aside.write_bytes(aside.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"was written with SHA-256 .* is found here: give a folder on a file system that this machine"):
        store.enter(layout, written.name, written.sha256)
    assert store.manifest.shards == ()
    assert not (store.root / layout.path).exists()


def test_two_attempts_at_one_shard_do_not_meet(begun: tuple[Store, ShardLayout]) -> None:
    store, layout = begun
    first, second = (cluster.write_shard(recipe(), store.root, layout) for _ in range(2))
    assert first.name != second.name
    store.enter(layout, second.name, second.sha256)
    assert store.manifest.shards[0].sha256 == second.sha256
    assert next(store.lacking()).split != layout.split or next(store.lacking()).start != layout.start


def test_attempt_whose_file_was_removed_stops(begun: tuple[Store, ShardLayout], monkeypatch: pytest.MonkeyPatch) -> None:
    store, layout = begun
    solved: list[int] = []

    def solve_then_lose(recipe: Recipe, stream: int, indices: list[int]) -> list[Any]:
        solved.extend(indices)
        store._sweep()
        return real(recipe, stream, indices)

    real = cluster.solve_samples
    monkeypatch.setattr(cluster, "solve_samples", solve_then_lose)
    monkeypatch.setattr(cluster, "_CHUNK", 1)
    with pytest.raises(ClusterError, match="was removed while it was written"):
        cluster.write_shard(recipe(), store.root, layout)
    assert len(solved) == 1


def test_message_to_a_worker_names_no_module_of_ours() -> None:
    """Plain data and code by value, so that a scheduler without this package can pass it on."""
    cloudpickle = pytest.importorskip("cloudpickle")
    sent: list[bytes] = []

    class Recorder:
        def submit(self, *message: Any) -> Future[Any]:
            sent.append(cloudpickle.dumps(message))
            return Future()

    manifest = describe(recipe(), draw(recipe(), seed_words(0, 0, 0)), 4)
    cluster.submit_shard(Recorder(), recipe(), Path("/data"), ShardLayout(manifest, "train", 0, 4))  # type: ignore[arg-type]
    script = "import sys, pickle; sys.modules['sciml'] = None; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", script], input=sent[0], check=True, timeout=60)
