"""What a killed, interrupted or starved generation leaves behind: nothing reported is lost, and the same call completes it."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.processes import executor
from sciml.data.verify import verify
from sciml.errors import DatasetError

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["problem.resolution=8", "data.shard_samples=8", "data.seed=5"]


def contents(path: Path) -> dict[str, bytes]:
    found = {}
    for split in ("train", "valid", "test"):
        dataset = open_dataset(path, split)
        for name in dataset.manifest.names:
            found[f"{split}/{name}"] = dataset.field(name).tobytes()
        found[split] = repr([dataset.provenance(index)["seed_words"] for index in range(len(dataset))]).encode()
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("kills", "samples", "workers", "shard", "method"),
    [
        (20, 480, 1, 8, "auto"),
        pytest.param(200, 4800, 1, 8, "auto", marks=pytest.mark.slow),
        pytest.param(60, 8000, 1, 64, "auto", marks=pytest.mark.slow),  # chunks as large as they get
        pytest.param(30, 1600, 2, 8, "auto", marks=pytest.mark.slow),
        pytest.param(16, 1600, 2, 48, "gcrodr", marks=pytest.mark.slow),  # shards that end inside a sequence
    ],
)
def test_killed_at_random_moments(tmp_path: Path, kills: int, samples: int, workers: int, shard: int, method: str) -> None:
    script = Path(__file__).with_name("kill_generation.py")
    settings = [*SETTINGS, f"data.shard_samples={shard}", f"solver.method={method}"]
    command = [sys.executable, str(script), str(tmp_path / "killed"), str(kills), str(samples), str(workers), *settings]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=1800, check=True)
    lives = json.loads(result.stdout)["lives"]
    last = 0
    for reported in lives:
        if reported:
            assert reported[0] > last, "a sample that had been reported was lost"
            assert reported == sorted(set(reported))
            last = reported[-1]
    assert last == samples
    assert sum(bool(reported) for reported in lives[:-1]) >= kills // 2, "too few kills hit the generation at work"
    # Binary media on so few cells repeat themselves by chance, which `verify` would rightly report.
    generate(load_recipe("darcy-lognormal", settings), tmp_path / "whole", samples=samples)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not [path for path in (tmp_path / "killed").rglob("*") if ".part" in path.name]
    assert verify(tmp_path / "killed").passed


def running(group: int) -> list[str]:
    """Command lines of the processes of a process group, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(its_group) == group and state != "Z":
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                pass  # it ended while we looked
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "sigkill"])
def test_workers_end_with_their_parent(tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "data"
    script = (
        "import sys\nfrom sciml import generate, load_recipe\n"
        "generate(load_recipe('darcy', sys.argv[2:]), sys.argv[1], samples=3000, workers=2,\n"
        "         progress=lambda stage, done, total, figures: print(done, flush=True))"
    )
    command = [sys.executable, "-c", script, str(out), *SETTINGS]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), start_new_session=True, **pipes) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 20:
                break
        assert len(running(process.pid)) >= 3
        if stop is signal.SIGINT:
            os.killpg(process.pid, stop)  # as a terminal does: to the whole group
        else:
            process.kill()
        rest, complaint = process.communicate(timeout=60)
    patience = time.monotonic() + 20
    while running(process.pid) and time.monotonic() < patience:
        time.sleep(0.05)
    assert running(process.pid) == []
    if stop is signal.SIGINT:
        assert process.returncode == -signal.SIGINT
        assert complaint.count("Traceback") == 1, "a worker complained about the interruption"
    reported = max(int(line) for line in [line, *rest.split()])
    result = generate(load_recipe("darcy", SETTINGS), out, samples=3000)
    assert result.already_there + result.generated == 3000
    assert result.already_there >= reported


def children(parent: int) -> list[int]:
    """Process numbers of the children of a process that solve (the pool also starts one that tracks its resources)."""
    found = []
    for line in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{line}/cmdline").read_bytes():
            found.append(int(line))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_killed_worker_is_one_sentence_and_the_next_run_recovers(tmp_path: Path) -> None:
    reported = 0

    def kill_one(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal reported
        reported = done
        if done < 40:
            os.kill(children(os.getpid())[-1], signal.SIGKILL)

    recipe = load_recipe("darcy", SETTINGS)
    with pytest.raises(DatasetError, match=r"one of workers = 2 processes ended by itself, killed .*: run the same call again") as caught:
        generate(recipe, tmp_path / "data", samples=400, workers=2, progress=kill_one)
    assert "\n" not in str(caught.value)
    assert children(os.getpid()) == []
    result = generate(recipe, tmp_path / "data", samples=400)
    assert reported <= result.already_there < 400
    generate(recipe, tmp_path / "whole", samples=400)
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def _nothing() -> None:
    pass


def _lose_the_worker_that_holds_the_lock() -> None:
    with pytest.raises(DatasetError, match="one of workers = 3 processes ended by itself"):
        _kill_an_idle_worker()


def _kill_an_idle_worker() -> None:
    with executor(3) as pool:
        pool.submit(_nothing).result()
        time.sleep(0.5)  # all are idle now: one reads the queue and holds its lock, the others wait for the lock
        workers = children(os.getpid())
        holding = [number for number in workers if "pipe" in Path(f"/proc/{number}/wchan").read_text()]
        os.kill((holding or workers)[0], signal.SIGKILL)
        patience = time.monotonic() + 20
        while time.monotonic() < patience:  # until the death has been noticed
            pool.submit(_nothing).result()


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="looks for what processes wait for in /proc")
def test_worker_killed_with_the_queues_lock_in_hand_does_not_hang_the_others() -> None:
    process = multiprocessing.get_context("fork").Process(target=_lose_the_worker_that_holds_the_lock)
    process.start()
    process.join(60)
    process.kill()
    process.join()
    assert process.exitcode == 0


def test_lock_left_by_a_killed_process_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".lock").write_text("4194304 elsewhere")
    assert generate(load_recipe("darcy", SETTINGS), tmp_path / "data", samples=4).generated == 4


def test_second_writer_is_one_sentence_while_the_first_goes_on(tmp_path: Path) -> None:
    recipe = load_recipe("darcy", SETTINGS)
    refused = []

    def meanwhile(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        script = "import sys\nfrom sciml.__main__ import main\nmain()"
        command = [sys.executable, "-c", script, "generate", "darcy", "--samples", "4", "--out", str(tmp_path / "data")]
        refused.append(subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, check=False))

    assert generate(recipe, tmp_path / "data", samples=4, progress=meanwhile).generated == 4
    assert len(refused) == 1
    assert refused[0].returncode == 3
    (line,) = refused[0].stderr.splitlines()
    assert line.endswith("is being written by another process: wait for it to end, or choose another folder")


def child(target: Any, *arguments: Any) -> None:
    """Run `target` in a forked process; what it raises fails the test."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def _starved(out: Path, limit: int, reported: Any) -> None:
    # Beyond this size the kernel refuses to write, as it does on a full disk; Python ignores the signal that goes with it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def report(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        reported.value = done

    with pytest.raises(DatasetError, match=r"cannot be written .* run the same command again"):
        generate(load_recipe("darcy", [*SETTINGS, "problem.resolution=16"]), out, samples=20, progress=report)


@pytest.mark.parametrize("limit", [1_000, 80_000])
def test_refused_write_leaves_a_dataset_that_can_be_completed(tmp_path: Path, limit: int) -> None:
    reported = multiprocessing.get_context("fork").Value("i", 0)
    child(_starved, tmp_path / "data", limit, reported)
    recipe = load_recipe("darcy", [*SETTINGS, "problem.resolution=16"])
    result = generate(recipe, tmp_path / "data", samples=20)
    assert result.already_there >= reported.value
    generate(recipe, tmp_path / "whole", samples=20)
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, check=False)
    if mounted.returncode:
        path.rmdir()
        pytest.skip("mounting a small file system is not allowed here")
    yield path
    subprocess.run(["umount", str(path)], check=True)
    path.rmdir()


def test_full_disk(small_disk: Path, tmp_path: Path) -> None:
    recipe = load_recipe("darcy", ["problem.resolution=64", "data.shard_samples=16"])
    reported = 0

    def report(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal reported
        reported = done

    with pytest.raises(DatasetError, match=r"No space left on device\): free space or choose another folder"):
        generate(recipe, small_disk / "data", samples=200, progress=report)
    assert reported > 32
    shutil.copytree(small_disk / "data", tmp_path / "data")  # a larger disk
    result = generate(recipe, tmp_path / "data", samples=reported + 10)
    assert result.already_there >= reported
    assert verify(tmp_path / "data").passed


def _as_somebody_else(out: Path) -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    with pytest.raises(DatasetError, match=r"cannot be written \(.*\): choose another folder"):
        generate(load_recipe("darcy", SETTINGS), out, samples=4)


def test_read_only_folder() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        child(_as_somebody_else, folder)
        child(_as_somebody_else, folder / "new")
        assert list(folder.iterdir()) == []
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
