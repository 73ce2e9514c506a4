"""Reading from the workers of torch's DataLoader, forked and spawned, and what reading costs in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sciml import generate, load_recipe, open_dataset
from sciml.data.shard import ShardReader


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loader") / "data"
    generate(load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=5"]), path, samples=40)
    return path


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("opened", [True, False])
def test_two_workers_read_what_one_process_reads(data: Path, start: str, opened: bool) -> None:
    """Also where this process has every file open already, whose handles a forked worker inherits and must not use."""
    dataset, truth = open_dataset(data), open_dataset(data)
    if opened:
        list(dataset)
    torch.manual_seed(0)
    loader = DataLoader(dataset, batch_size=4, shuffle=True, num_workers=2, multiprocessing_context=start)  # type: ignore[arg-type]
    batches = list(loader)
    seen = torch.cat([batch["pressure"] for batch in batches]).numpy()
    inputs = torch.cat([batch["permeability"] for batch in batches]).numpy()
    assert len(seen) == 32
    order = [int(np.flatnonzero((truth.field("pressure") == pressure).all((1, 2)))[0]) for pressure in seen]
    assert sorted(order) == list(range(32))
    assert order != sorted(order)
    np.testing.assert_array_equal(inputs, truth.field("permeability")[order], strict=True)
    if opened:
        np.testing.assert_array_equal(dataset[3]["pressure"], truth[3]["pressure"])


def test_chunks_are_not_kept_by_hdf5(data: Path) -> None:
    """A cache of 8 MiB for each dataset of each open file would be gigabytes for a large dataset, and would skip its checksums."""
    dataset = open_dataset(data)
    dataset[0]
    reader = next(iter(dataset._readers.values()))
    assert isinstance(reader, ShardReader)
    assert reader.file["t0_fields/pressure"].id.get_access_plist().get_chunk_cache()[1] == 0


def test_a_dataset_shows_what_it_holds_and_takes_whole_numbers_only(data: Path) -> None:
    dataset = open_dataset(data, "valid")
    assert repr(dataset) == f"<Dataset 'darcy', split 'valid': 4 samples of permeability -> pressure on 8 x 8, in {str(data)!r}>"
    np.testing.assert_array_equal(dataset[np.int64(-1)]["pressure"], dataset[3]["pressure"])
    for index in (slice(0, 2), "0", 1.0):
        with pytest.raises(TypeError, match="is not a whole number: take samples one by one, or a slice of field"):
            dataset[index]  # type: ignore[index]
