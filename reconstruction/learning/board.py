"""The log as TensorBoard shows it, where that is installed."""

from importlib import import_module
from pathlib import Path
from typing import Any

from reconstruction.learning.watcher import Row, Watcher


class Board:
    """Writes the log's rows for TensorBoard, once there are any.

    Parameters
    ----------
    folder
        Where the training is kept.
    watcher
        Told if TensorBoard is missing.
    """

    def __init__(self, folder: Path, watcher: Watcher) -> None:
        self._folder = folder / "tensorboard"
        self._watcher = watcher
        self._writer: Any = None
        self._is_missing = False

    def add(self, row: Row) -> None:
        """Write a row."""
        if self._writer is None and not self._is_missing:
            self._open()
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, int(row["epoch"]))
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> None:
        try:
            board = import_module("torch.utils.tensorboard")
        except ImportError:
            self._is_missing = True
            self._watcher.say("tensorboard is not installed: the log is in log.csv alone")
            return
        self._writer = board.SummaryWriter(self._folder)
