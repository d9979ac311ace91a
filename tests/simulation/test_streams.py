"""Streams of one seed repeat, and no two of them are the same."""

from itertools import product

import pytest
import torch

from simulation.streams import Stream, numpy_stream, torch_stream

ADDRESSES = [
    (seed, stream, *key)
    for seed, stream, key in product(
        (0, 1, 1 << 32, (1 << 63) - 1), Stream, ((), (0,), (1,), (0, 1), (1, 0), (0, 0, 1))
    )
]


@pytest.mark.parametrize(
    "draw",
    [
        lambda *address: numpy_stream(*address).standard_normal(2).tobytes(),
        lambda *address: torch.randn(2, generator=torch_stream(*address)).numpy().tobytes(),
    ],
    ids=["numpy", "torch"],
)
def test_every_address_has_numbers_of_its_own(draw):
    drawn = [draw(*address) for address in ADDRESSES]
    assert len(set(drawn)) == len(ADDRESSES)
    assert [draw(*address) for address in ADDRESSES] == drawn


def test_a_seed_keeps_its_meaning():
    """What a recorded seed stands for must not change with a later version."""
    assert [(stream.name, stream.value) for stream in Stream] == [
        ("SENSOR_MAPS", 0),
        ("SENSOR_NOISE", 1),
        ("RANDOM_WALK", 2),
        ("FOCUS_WALK", 3),
        ("VIBRATION", 4),
        ("LASER", 5),
        ("DUST", 6),
        ("SCAN", 7),
        ("SHUFFLE", 8),
        ("INSTRUMENTS", 9),
        ("TRAINING", 10),
        ("FOCUS_DRIVE", 11),
        ("FAULTS", 12),
    ]
    assert torch_stream(5, Stream.LASER, 2).initial_seed() == 2924166985
