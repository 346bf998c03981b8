"""What a training tells while it runs: ``log.csv``, TensorBoard, a bar and a line for every epoch.

The first process alone tells.
"""

import csv
import io
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ...errors import InputError
from ...output_files import write_text
from ...structures import StructureSet
from .distributed import is_first_process

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = "log.csv"
TENSORBOARD = "tensorboard"
"""File and folder in the output folder of a training."""


@dataclass(frozen=True)
class Epoch:
    """One row of the log."""

    stage: str
    epoch: int
    """From 1; 0 is the start model before its training."""
    loss: float | None
    """Mean over the batches; ``None`` for epoch 0."""
    validation: float
    dice: dict[str, float]
    """As ``validation.Score`` has it."""
    learning_rate: float
    seconds: float

    def numbers(self) -> dict[str, float]:
        """All that was measured, by column."""
        loss = {} if self.loss is None else {"loss": self.loss}
        dice = {dice_column(name): value for name, value in self.dice.items()}
        return {
            **loss, "validation": self.validation, **dice, "learning_rate": self.learning_rate, "seconds": self.seconds
        }  # fmt: skip

    def row(self) -> dict[str, str | int]:
        """By column."""
        return {
            "stage": self.stage, "epoch": self.epoch, **{name: f"{value:.5g}" for name, value in self.numbers().items()}
        }  # fmt: skip

    def text(self) -> str:
        """One line."""
        dice = "".join(f", {name} Dice {value:.3f}" for name, value in self.dice.items())
        loss = "" if self.loss is None else f"loss {self.loss:.4f}, "
        return f"{self.stage} {self.epoch}: {loss}validation {self.validation:.4f}{dice}"


def dice_column(structure: str) -> str:
    """Of the structure with this name."""
    return f"{structure}_dice"


class TrainingLog:
    """The log of one run.

    structures: those with a Dice; history: the finished epochs; whoever trains adds to it.
    batches: of all stages together; done: how many of them are.
    """

    def __init__(
        self, folder: Path, structures: StructureSet, history: list[Epoch], batches: int, done: int
    ) -> None:
        self._history = history
        self._table = folder / LOG
        dice = [dice_column(structure.name) for structure in structures]
        self._columns = ["stage", "epoch", "loss", "validation", *dice, "learning_rate", "seconds"]
        self._batches, self._done, self._done_before = batches, done, done
        first = is_first_process()
        # disable=None: no bar in a log file
        self._bar = tqdm(
            total=batches, initial=done, unit="batch", mininterval=1, smoothing=0.01, disable=None if first else True
        )
        self._writer = _summary_writer(folder / TENSORBOARD, purge_step=len(history)) if first else None
        self._write_table()

    def count_batch(self) -> None:
        """One batch more is done."""
        self._done += 1
        self._bar.update()

    def tell(self) -> None:
        """Tell about the last epoch of the history, which is finished."""
        epoch = self._history[-1]
        self._write_table()
        if self._writer:
            for name, value in epoch.numbers().items():
                self._writer.add_scalar(f"{epoch.stage}/{name}", value, len(self._history) - 1)
            self._writer.flush()
            tqdm.write(f"{epoch.text()}{self._time_left(epoch.seconds)}", file=sys.stderr)
        self._done_before = self._done

    def show(self, picture: np.ndarray) -> None:
        """A picture ``(H, W, 3)`` in [0, 1] of the epoch to be told next, for TensorBoard."""
        if self._writer:
            title = "slice, reference, prediction, input of the U-Net"
            self._writer.add_image(title, picture, len(self._history), dataformats="HWC")

    def close(self) -> None:
        """Nothing more is told."""
        self._bar.close()
        if self._writer:
            self._writer.close()

    def _time_left(self, seconds: float) -> str:
        """As if the batches to come took as long as those of an epoch that took so many seconds."""
        batches = self._done - self._done_before
        if not batches:
            return ""
        left = timedelta(seconds=round(seconds / batches * (self._batches - self._done)))
        return f", about {left} left" if left else ""

    def _write_table(self) -> None:
        """Written anew from the history: a row more than the checkpoint has would come twice after a crash."""
        if not is_first_process():
            return
        text = io.StringIO()
        table = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(epoch.row() for epoch in self._history)
        write_text(self._table, text.getvalue())


def _summary_writer(folder: Path, purge_step: int) -> "SummaryWriter":
    """TensorBoard's; steps after a checkpoint, which come again after a crash, are purged."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import
    except ModuleNotFoundError as error:
        raise InputError(
            f"Training needs the package {error.name}: install the extra [train], pip install -e '.[train]'."
        ) from None
    return SummaryWriter(str(folder), purge_step=purge_step)
