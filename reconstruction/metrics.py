"""How right a map is, with the constant prediction always beside it.

A film is mostly closed: saying "closed" everywhere already scores 52-65 % on a
star, so accuracy alone means nothing.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_recall,
)


@dataclass(frozen=True, slots=True)
class Scores:
    """Fractions; F1 and Jaccard index are means over the two classes, as in the paper."""

    accuracy: float
    balanced_accuracy: float
    f1: float
    jaccard: float
    constant_accuracy: float
    """Of the better of the two constant predictions."""

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


def score(probability: NDArray[np.floating], truth: NDArray[np.integer]) -> Scores:
    """Score probabilities, thresholded at one half.

    Parameters
    ----------
    probability
        Any shape; where nothing was predicted, NaN, nothing is scored.
    truth
        Same shape: 1 open, 0 closed, -1 is left out.
    """
    counted = (truth >= 0) & np.isfinite(probability)
    predicted = torch.from_numpy((probability[counted] >= 0.5).astype(np.int64))
    expected = torch.from_numpy(truth[counted].astype(np.int64))
    open_share = float(expected.double().mean())
    return Scores(
        accuracy=float((predicted == expected).double().mean()),
        balanced_accuracy=float(multiclass_recall(predicted, expected, 2)),
        f1=float(multiclass_f1_score(predicted, expected, 2)),
        jaccard=float(multiclass_jaccard_index(predicted, expected, 2)),
        constant_accuracy=max(open_share, 1 - open_share),
    )
