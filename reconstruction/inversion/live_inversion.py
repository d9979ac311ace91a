"""Inversion of a run while it grows, in a process of its own."""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from reconstruction.inversion.inversion_map import LARGEST_CHI_SQUARED
from reconstruction.memory import Warn, warn_in_python

_SPIN_COUNT: Final = "20000"
"""How long idle OpenMP threads spin before they sleep: the scan needs the cores."""
_WINDOWS_FLAGS: Final = ("CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
_LOOK_S: Final = 0.2
"""Between looks for Ctrl-C, which not every system lets through to whoever waits."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """What is inverted of a scan.

    Attributes
    ----------
    probability
        (rows, columns) that each square is open; NaN where nothing is inverted yet.
    undecided
        (rows, columns), inverted squares that the photons leave open to doubt.
    chi_squared
        Mean over the frames by their light.
    """

    probability: NDArray[np.float64]
    undecided: NDArray[np.bool_]
    chi_squared: float

    @property
    def lines(self) -> int:
        """How many lines of squares are inverted."""
        return int(np.isfinite(self.probability).any(axis=1).sum())

    @property
    def undecided_share(self) -> float:
        """Of the inverted squares."""
        return float(self.undecided.sum() / np.isfinite(self.probability).sum())

    @property
    def is_explained(self) -> bool:
        """Whether the model explains the photons."""
        return self.chi_squared <= LARGEST_CHI_SQUARED


class LiveInversion:
    """Inverts the lines of a run as they are acknowledged.

    It reads them from disk in a process of its own, of low priority: the scan neither waits for
    it nor keeps frames for it, however far it is behind, and goes on if it fails. That process
    ends with this one.

    Parameters
    ----------
    run
        Path of the run, which is there already.
    device
        Where it computes.
    warn
        Told what goes wrong, from another thread.

    Raises
    ------
    OSError
        If there is no room for another process.
    """

    def __init__(self, run: Path, device: torch.device, *, warn: Warn = warn_in_python) -> None:
        self._warn = warn
        self._inverted: Inverted | None = None
        self._is_stopped = False
        self._is_over = threading.Event()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed where the process ends
        module = "reconstruction.inversion.live_inversion_process"
        flags = [getattr(subprocess, name, 0) for name in _WINDOWS_FLAGS]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(run), device.type],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "GOMP_SPINCOUNT": _SPIN_COUNT},
            process_group=0,  # Ctrl-C is for the scan
            creationflags=sum(flags),
        )
        threading.Thread(target=self._listen, name="live inversion", daemon=True).start()

    @property
    def process_id(self) -> int:
        """Of the process that inverts."""
        return self._process.pid

    @property
    def inverted(self) -> Inverted | None:
        """What is inverted so far; ``None`` before anything is."""
        return self._inverted

    def finish(self) -> None:
        """Wait until all lines of a scan that is complete are inverted."""
        while not self._is_over.wait(_LOOK_S):
            pass

    def stop(self) -> None:
        """End now, whatever is under way."""
        self._is_stopped = True
        self._process.kill()
        self.finish()

    def _listen(self) -> None:
        try:
            with self._process, self._errors:
                is_finished = self._listen_until_it_ends()
                code = self._process.wait()
                self._errors.seek(0)
                *_, last = [b"nothing", *self._errors.read().splitlines()]
            if not is_finished and not self._is_stopped:
                said = last.decode(errors="replace").strip()
                self._warn(
                    f"the live inversion ended with exit code {code}, saying {said}; the run is"
                    " safe, read it with opticalnet reconstruct"
                )
        finally:
            self._is_over.set()

    def _listen_until_it_ends(self) -> bool:
        """Take maps and warnings, and return whether the other process has had its say."""
        assert self._process.stdout is not None
        while True:
            try:
                said = pickle.load(self._process.stdout)
            except (EOFError, pickle.UnpicklingError):
                return False
            if said is None:
                return True
            if isinstance(said, Inverted):
                self._inverted = said
            elif not self._is_stopped:
                self._warn(said)
