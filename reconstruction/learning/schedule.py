"""How the learning rate changes as a training goes on."""

import math


def warm_cosine(rate: float, epoch: float, epochs: int, warm_up_epochs: float) -> float:
    """Rise to ``rate`` while it warms up, and fall along half a cosine."""
    warm = min(1.0, (epoch + 0.01) / warm_up_epochs)
    return rate * warm * (0.5 + 0.5 * math.cos(math.pi * epoch / epochs))
