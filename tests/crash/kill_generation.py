"""Kill `sciml.generate` at random moments, again and again, then let it finish; run by test_generate_crash.py.

Every life of the generation is a process of its own, forked before any numerical library has started threads. Prints one JSON
object: for every life what it found on disk and what it had reported when it was killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

from sciml.data.generate import generate
from sciml.data.recipe import load_recipe


def live(out: str, settings: list[str], samples: int, workers: int, report: int) -> None:
    """Generate, and write every reported number of samples to the pipe `report`."""
    generate(
        load_recipe("darcy-lognormal", settings),
        out,
        samples=samples,
        workers=workers,
        progress=lambda stage, done, total, figures: write(report, done),
    )


def write(report: int, done: int) -> None:
    os.write(report, f"{done}\n".encode())


def life(out: str, settings: list[str], samples: int, workers: int, kill_after: float | None, reports: int) -> list[int]:
    """The numbers reported by one life, killed `kill_after` seconds after it had reported `reports` times; None lets it live."""
    incoming, outgoing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(incoming)
        live(out, settings, samples, workers, outgoing)
        os._exit(0)
    os.close(outgoing)
    text = b""
    if kill_after is not None:
        while text.count(b"\n") < reports and (block := os.read(incoming, 1)):
            text += block
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    while block := os.read(incoming, 1 << 16):
        text += block
    os.close(incoming)
    os.waitpid(process, 0)
    return [int(line) for line in text.split()]


def main(out: str, kills: int, samples: int, workers: int, settings: list[str]) -> None:
    rng = random.Random(kills)
    lives = []
    for number in range(kills):
        # Every fourth is killed while it starts and looks at what is there, the others while they solve and write.
        # Counting reports and not seconds keeps a fast machine from finishing before the last kill.
        starting = number % 4 == 0
        after = rng.uniform(0, 0.4 if starting else 0.004)
        lives.append(life(out, settings, samples, workers, after, 0 if starting else rng.randint(1, 4)))
    lives.append(life(out, settings, samples, workers, None, 0))
    sys.stdout.write(json.dumps({"lives": lives}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
