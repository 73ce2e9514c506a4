"""Files that are either there in full or not at all: written aside, forced to disk, renamed.

A rename within one folder is atomic on POSIX; the folder itself has to be forced to disk too, or the rename may be lost with
the power.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

_BLOCK = 1 << 20


def replace_durably(aside: Path, path: Path) -> None:
    """Force the finished file `aside` to disk and let it take the name `path`, in the same folder."""
    _sync(aside, os.O_RDWR)
    os.replace(aside, path)
    _sync(path.parent, os.O_RDONLY)


def write_text_durably(path: Path, text: str) -> None:
    """`write_bytes_durably` of `text` as UTF-8."""
    write_bytes_durably(path, text.encode())


def write_bytes_durably(path: Path, content: bytes) -> None:
    """Write `content` to `path` such that a reader sees either the old content or the new one, never a part.

    Raises
    ------
    OSError
        It cannot be written; the error names `path`, and nothing is left beside it.
    """
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_bytes(content)
        replace_durably(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first failure is the one to report
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # a write that fails names no file, a rename names two
            error.filename2 = None
        raise


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
