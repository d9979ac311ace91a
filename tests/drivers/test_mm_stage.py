"""The Micro-Manager stage, on the real core with the adapters of ``mm-test-adapters``."""

from contextlib import closing

import pytest
from mm_bench import STEP_UM, LeapingClock, stage_config, wait_until

from configs.errors import DeviceError, DeviceTimeout, LimitError
from configs.instrument import Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerStage
from drivers.protocols import Identity


@pytest.mark.parametrize("target_um", [(0.0, 200.0), (12.34, 5.2), (100.18, 99.82)])
def test_stage_arrives(stage: MicroManagerStage, target_um: tuple[float, float]) -> None:
    stage.move_to(*target_um)
    stage.wait_settled(2.0)
    assert stage.position() == pytest.approx(target_um, abs=STEP_UM)


@pytest.mark.parametrize("target_um", [(-0.1, 10.0), (10.0, 200.1), (float("nan"), 10.0)])
def test_target_outside_the_travel_moves_nothing(
    stage: MicroManagerStage, target_um: tuple[float, float]
) -> None:
    stage.move_to(10.0, 20.0)
    stage.wait_settled(2.0)
    before = stage.position()

    with pytest.raises(LimitError):
        stage.move_to(*target_um)
    stage.wait_settled(2.0)
    assert stage.position() == before


def test_slow_stage_times_out_and_stops() -> None:
    config = stage_config(Velocity=0.01)  # mm/s: 20 s for this move
    with closing(MicroManagerStage(config, Travel(), LeapingClock())) as stage:
        stage.move_to(200.0, 200.0)
        with pytest.raises(DeviceTimeout, match="expected the stage to settle within 2 s"):
            stage.wait_settled(2.0)

        stage.stop()
        stage.wait_settled(2.0)
        x_um, y_um = stage.position()
        assert x_um < 100.0
        assert y_um < 100.0
        stage.move_to(x_um + 1.0, y_um)
        core = stage._session.require_usable()
        wait_until(lambda: not core.deviceBusy("device"))
        assert stage.position() == pytest.approx((x_um + 1.0, y_um), abs=STEP_UM)


def test_stage_closes_while_it_moves_once_and_for_all() -> None:
    stage = MicroManagerStage(stage_config(Velocity=0.01), Travel(), WallClock())
    stage.move_to(200.0, 200.0)
    stage.close()
    stage.close()

    for use in (
        lambda: stage.move_to(1.0, 1.0),
        lambda: stage.wait_settled(1.0),
        stage.position,
        stage.stop,
    ):
        with pytest.raises(DeviceError, match="got a closed one"):
            use()


def test_stage_says_what_it_is(stage: MicroManagerStage) -> None:
    assert stage.identity == Identity("DemoCamera/DXYStage", "simulated")
    assert stage.limits == Travel()
