"""What a network does where its device fails it: smaller batches, then the CPU."""

import sys
import warnings
from collections.abc import Callable
from typing import Final, TypeVar

import torch
from torch import nn

from configs.errors import ReconstructionError

Answer = TypeVar("Answer")
Warn = Callable[[str], object]
"""Told, in one line, of something that does not stop the work."""
warn_in_python: Warn = warnings.warn
_CPU: Final = torch.device("cpu")
_FAILURES: Final = ("CUDA error", "CUDA driver error", "cuDNN error", "DefaultCPUAllocator")
"""What a device says that fails: only some shortages have a class of their own."""


class Memory:
    """Has a network compute where, and in batches that, its memory allows.

    Parameters
    ----------
    network
        Moved to the device; to the CPU where that cannot take it, or not a single frame.
    device
        Where it is to compute.
    warn
        Told when batches become smaller, or the device another.

    Attributes
    ----------
    device
        Where the network computes now.

    Raises
    ------
    ReconstructionError
        If the CPU too has too little memory.
    """

    def __init__(self, network: nn.Module, device: torch.device, warn: Warn) -> None:
        self.device = device
        self._network = network
        self._warn = warn
        self._largest = sys.maxsize
        self.run(lambda _: network.to(self.device), 1)

    def run(self, work: Callable[[int], Answer], frames: int) -> Answer:
        """Return what work on some frames gives.

        Parameters
        ----------
        work
            Is told how many frames it may take at once; may be called again.
        frames
            How many there are.

        Raises
        ------
        ReconstructionError
            If the CPU too has too little memory.
        """
        before = self._largest
        while True:
            try:
                answer = work(self._largest)
                break
            except RuntimeError as error:
                if not is_of_device(error):
                    raise
                failure = str(error).splitlines()[0]
            # Out of the handler: the traceback no longer holds what did not fit.
            self._shrink(frames, failure)
        if self._largest not in {before, sys.maxsize}:
            self._warn(
                f"{self.device.type} has too little memory for a scan line: {self._largest}"
                " frames at a time from now on"
            )
        return answer

    def _shrink(self, frames: int, failure: str) -> None:
        at_once = min(self._largest, frames)
        if at_once > 1:
            self._largest = at_once // 2
        elif self.device == _CPU:
            raise ReconstructionError(
                f"expected memory for a single frame, got: {failure}; close other programs"
            )
        else:
            self._move(failure)

    def _move(self, failure: str) -> None:
        """Go on on the CPU, if the device still gives the network back."""
        lost = self.device.type
        try:
            self._network.to(_CPU)
        except RuntimeError as error:
            raise ReconstructionError(
                f"expected the network back from {lost}, got: {failure}; use --device cpu"
            ) from error
        self.device, self._largest = _CPU, sys.maxsize
        said, _, _ = failure.partition(". ")  # a full GPU goes on at length
        self._warn(f"{lost} cannot run the network ({said}): the CPU goes on")


def reason_of(error: RuntimeError) -> str:
    """Return how a device failed, in a few words."""
    return str(error).splitlines()[0].partition(". ")[0]


def is_of_device(error: RuntimeError) -> bool:
    """Return whether a device failed, mostly as its memory is too small."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(sign in said for sign in _FAILURES)
