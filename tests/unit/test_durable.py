"""Files that are there in full or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sciml.data.durable import write_text_durably


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_keeps_the_old_content_and_nothing_beside_it(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise error

    path = tmp_path / "a.json"
    write_text_durably(path, "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)) as caught:
        write_text_durably(path, "new")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a.json", "old")]
    assert getattr(caught.value, "filename", str(path)) == str(path)


def test_a_folder_that_is_not_there_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_text_durably(tmp_path / "nowhere" / "a.json", "new")
    assert caught.value.filename == str(tmp_path / "nowhere" / "a.json")
