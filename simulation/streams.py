"""One seed, many streams of random numbers that know nothing of each other.

What draws from a stream of its own can be switched off, or asked more often, and
nothing else changes.
"""

from enum import IntEnum, unique

import numpy as np
import torch


@unique
class Stream(IntEnum):
    """Who draws; the numbers are part of what a seed means, so they never change."""

    SENSOR_MAPS = 0
    SENSOR_NOISE = 1
    RANDOM_WALK = 2
    FOCUS_WALK = 3
    VIBRATION = 4
    LASER = 5
    DUST = 6
    SCAN = 7
    SHUFFLE = 8
    INSTRUMENTS = 9
    TRAINING = 10
    FOCUS_DRIVE = 11
    FAULTS = 12


def numpy_stream(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return one stream of a seed; ``key`` divides it further, by line or by point."""
    return np.random.default_rng(_sequence(seed, stream, key))


def torch_stream(seed: int, stream: Stream, *key: int) -> torch.Generator:
    """Return the same for torch, on the CPU."""
    # One word: torch's generator looks at no more than 32 bits of its seed.
    (word,) = _sequence(seed, stream, key).generate_state(1)
    return torch.Generator().manual_seed(int(word))


def derived_seed(seed: int, stream: Stream, *key: int) -> int:
    """Return a seed that follows from another, for what has many streams of its own."""
    (word,) = _sequence(seed, stream, key).generate_state(1, np.uint64)
    # Seeds end below 2**63, as whole numbers in TOML do.
    return int(word >> np.uint64(1))


def _sequence(seed: int, stream: Stream, key: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(stream, *key))
