"""Values: changed and checked; seeds that every generator takes."""

import numpy as np
import pytest
import torch

from configs.dataset import load_dataset_plan
from configs.errors import ConfigError
from configs.instrument import InstrumentConfig, Sensor
from configs.value import check_seed
from simulation.streams import Stream, numpy_stream, torch_stream

LARGEST = 2**63 - 1


def test_a_changed_value_differs_in_that_alone():
    plan = load_dataset_plan("paper")
    other = plan.changed(seed=5, exposure_ms=20.0)
    assert (other.seed, other.exposure_ms) == (5, 20.0)
    assert other.changed(seed=plan.seed, exposure_ms=plan.exposure_ms) == plan


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"exposure_ms": 0.0}, r"^exposure_ms: Input should be greater than 0, got 0\.0$"),
        ({"exposure": 1.0}, "^unknown key exposure; check the spelling$"),
        ({"seed": -1}, "^seed: .* got -1$"),
        ({"seed": LARGEST + 1}, "^seed: Input should be less than 9223372036854775808"),
        ({"parts": ()}, "^parts: expected one or more, got none$"),
    ],
)
def test_changes_are_checked(values, said):
    with pytest.raises(ConfigError, match=said):
        load_dataset_plan("paper").changed(**values)


def test_what_belongs_together_is_checked_again():
    with pytest.raises(ConfigError, match="a simulated camera needs a simulated stage"):
        InstrumentConfig(name="own").changed(stage={"kind": "gcs", "port": "COM3"})


@pytest.mark.parametrize("seed", [0, LARGEST])
def test_all_generators_take_a_seed(seed):
    check_seed(seed)
    assert load_dataset_plan("paper").changed(seed=seed).seed == seed
    numpy_stream(seed, Stream.TRAINING).random()
    torch.rand(1, generator=torch_stream(seed, Stream.TRAINING))


@pytest.mark.parametrize("seed", [-1, LARGEST + 1])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ConfigError, match=rf"seed: expected .* 2\*\*63 - 1, got {seed}"):
        check_seed(seed)


def test_electrons_of_arrays_and_tensors():
    sensor = Sensor(offset_adu=100.0, gain_e_per_adu=0.5, read_noise_e=2.0)
    adu = np.array([[100.0, 104.0]])
    assert sensor.electrons(adu).tolist() == [[0.0, 2.0]]
    assert sensor.electrons(torch.from_numpy(adu)).tolist() == [[0.0, 2.0]]


def test_rounding_adds_the_variance_of_a_uniform_error():
    sensor = Sensor(gain_e_per_adu=3.0, read_noise_e=0.0)
    adu = np.random.default_rng(0).uniform(500, 600, 100_000)
    error_e = sensor.electrons(np.rint(adu)) - sensor.electrons(adu)
    assert error_e.var() == pytest.approx(sensor.added_variance_e2, rel=0.02)
