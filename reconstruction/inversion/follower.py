"""Inversion of a run while it grows, in a process of its own."""

import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from reconstruction.memory import Warn, warn_in_python

END: Final = b"end"
"""Of the scan, as the other process is told."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """What is inverted of a scan.

    Attributes
    ----------
    probability
        (rows, columns) that each square is open; NaN where nothing is inverted yet.
    undecided
        (rows, columns), squares that the photons leave open to doubt.
    chi_squared
        Mean over the frames by their light.
    """

    probability: NDArray[np.float64]
    undecided: NDArray[np.bool_]
    chi_squared: float


class InversionFollower:
    """Inverts the lines of a run as they are acknowledged.

    It reads them from disk in a process of its own, of low priority: the scan neither waits for
    it nor keeps frames for it, however far it is behind, and goes on if it fails.

    Parameters
    ----------
    run
        Path of the run, which is there already.
    device
        Where it computes.
    warn
        Told what goes wrong, from another thread.
    """

    def __init__(self, run: Path, device: torch.device, *, warn: Warn = warn_in_python) -> None:
        self._warn = warn
        self._inverted: Inverted | None = None
        self._is_wanted = True
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reconstruction.inversion.following", str(run), device.type],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "GOMP_SPINCOUNT": "20000"},  # processes share the cores
            start_new_session=True,  # Ctrl-C is for the scan
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._thread = threading.Thread(target=self._listen, name="inversion", daemon=True)
        self._thread.start()

    @property
    def process_id(self) -> int:
        """Of the process that inverts."""
        return self._process.pid

    @property
    def inverted(self) -> Inverted | None:
        """What is inverted so far; ``None`` before anything is."""
        return self._inverted

    def finish(self) -> None:
        """Wait until all lines are inverted that the run has now that the scan has ended."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # the other process is gone, and has said why
            self._process.stdin.write(END)
            self._process.stdin.flush()
        self._thread.join()

    def stop(self) -> None:
        """End now, whatever is under way."""
        self._is_wanted = False
        self._process.kill()
        self._thread.join()

    def _listen(self) -> None:
        with self._process as process:
            assert process.stdout is not None
            # The last message may be torn where the other process ended.
            with suppress(EOFError, pickle.UnpicklingError):
                while True:
                    said = pickle.load(process.stdout)
                    if isinstance(said, Inverted):
                        self._inverted = said
                    else:
                        self._warn(said)
        if process.returncode and self._is_wanted:
            self._warn(
                f"the live inversion ended, exit code {process.returncode}; the run is safe,"
                " read it with opticalnet reconstruct"
            )
