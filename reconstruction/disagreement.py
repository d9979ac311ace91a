"""Where overlapping predictions of a run disagree: what is worth another look."""

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import Run
from configs.errors import ReconstructionError
from reconstruction.load import frame_predictor
from reconstruction.memory import Warn


def disagreement(run: Run, warn: Warn) -> NDArray[np.float64]:
    """Return how much the frames that see a square disagree over it.

    Parameters
    ----------
    run
        Finished or not.
    warn
        Told where no network suits the run: then nothing is in doubt.

    Returns
    -------
    (rows, columns) of the scan, standard deviation of the probabilities that single frames
    give to the square under each point; 0 beyond the sample.
    """
    plan = run.info.plan
    spread = np.zeros((plan.rows, plan.columns))
    try:
        predictor, _ = frame_predictor(run.info, plan.grid, torch.device("cpu"), warn=warn)
    except ReconstructionError as error:
        warn(f"nothing is looked at again: {error}")
        return spread
    for line in run.lines(run.points()):
        predictor.consume(line)
    plan.crop(spread)[:] = np.nan_to_num(predictor.squares.uncertainty)
    return spread
