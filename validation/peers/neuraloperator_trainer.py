"""neuraloperator's own Trainer on the small Darcy set, with the settings that its Darcy configuration publishes.

Everything is the peer's: model, `DefaultDataProcessor` with channel-wise `UnitGaussianNormalizer` for input and output, `H1Loss`,
`AdamW`, `Trainer`. Two things are in its favour: batches are shuffled (its `load_darcy_flow_small` does not), and the step schedule
of its 300-epoch recipe (halve every 60 epochs) is compressed to the epochs at hand, so that its learning rate does decay.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

os.environ.setdefault("WANDB_MODE", "disabled")  # neuraloperator imports wandb, which must neither speak nor phone
with warnings.catch_warnings():  # the import would reset the user's warning filters
    from neuralop import H1Loss, Trainer
    from neuralop.data.datasets.tensor_dataset import TensorDataset
    from neuralop.data.transforms.data_processors import DefaultDataProcessor
    from neuralop.data.transforms.normalizers import UnitGaussianNormalizer
    from neuralop.models import FNO
    from neuralop.training import AdamW

Fields = NDArray[np.float32]


@dataclass(frozen=True)
class PeerSettings:
    """The peer's published Darcy settings at 16 x 16; only the number of epochs is ours."""

    epochs: int = 40
    hidden_channels: int = 24
    modes: int = 16
    batch_size: int = 8
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    seed: int = 0

    @property
    def halving_epochs(self) -> int:
        """Epochs after which the learning rate is halved, again and again."""
        return max(1, self.epochs // 5)


@dataclass(frozen=True)
class PeerResult:
    """Predictions in the file's own units, and the number of trained real numbers (a complex weight counts twice)."""

    prediction: Fields
    parameters: int


def train(train_x: Fields, train_y: Fields, test_x: Fields, test_y: Fields, settings: PeerSettings) -> PeerResult:
    """Train the peer's FNO and predict the test inputs; all fields have shape (samples, nx, ny)."""
    torch.manual_seed(settings.seed)
    x, y = _channels(train_x), _channels(train_y)
    processor = DefaultDataProcessor(in_normalizer=_normalizer(x), out_normalizer=_normalizer(y))
    order = torch.Generator().manual_seed(settings.seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=settings.batch_size, shuffle=True, generator=order)
    test = DataLoader(TensorDataset(_channels(test_x), _channels(test_y)), batch_size=16)
    model = FNO(
        n_modes=(settings.modes, settings.modes),
        in_channels=1,
        out_channels=1,
        hidden_channels=settings.hidden_channels,
        projection_channel_ratio=2,
    )
    optimizer = AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=settings.halving_epochs, gamma=0.5)
    trainer = Trainer(model=model, n_epochs=settings.epochs, data_processor=processor, eval_interval=settings.epochs)
    with warnings.catch_warnings():
        # The Trainer hands every loss and model the whole batch, about which they then complain.
        warnings.filterwarnings("ignore", message=".*unexpected keyword argument.*", category=UserWarning)
        trainer.train(loader, {"test": test}, optimizer, scheduler, training_loss=H1Loss(d=2))
    size = sum(parameter.numel() * (2 if parameter.is_complex() else 1) for parameter in model.parameters())
    return PeerResult(_predict(model, processor, test), size)


def _channels(fields: Fields) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float32)).unsqueeze(1)


def _normalizer(fields: torch.Tensor) -> UnitGaussianNormalizer:
    normalizer = UnitGaussianNormalizer(dim=[0, 2, 3])
    normalizer.fit(fields)
    return normalizer


def _predict(model: FNO, processor: DefaultDataProcessor, loader: DataLoader[dict[str, torch.Tensor]]) -> Fields:
    model.eval()
    processor.eval()
    predictions = []
    with torch.no_grad():
        for batch in loader:
            sample = processor.preprocess(dict(batch))
            output, _ = processor.postprocess(model(sample["x"]), sample)
            predictions.append(output.squeeze(1).numpy())
    return np.concatenate(predictions)
