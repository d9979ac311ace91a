"""Rehearsing what goes wrong: a scan in a storm, and the command for it."""

import json
from pathlib import Path

import pytest
from command_bench import Command, save_mask

from acquisition import guard, patience
from acquisition.engine import scan
from acquisition.observer import SilentObserver
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.faults import CameraFaults, DiskFaults, Faults, StageFaults
from configs.instrument import Limits
from opticalnet.rehearsal import FaultyDisk, with_faults
from simulation.faults import Fate
from simulation.instant import position_um

STAGE = tuple(name for name in StageFaults.model_fields if not name.endswith("_nm"))
CAMERA = tuple(
    name for name in CameraFaults.model_fields if name not in {"dark_frames", "hot", "hot_c"}
)
TOO_QUIET_TO_BE_SEEN = {"jump"}


@pytest.fixture(autouse=True)
def _an_impatient_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that took no more is asked again without delay: real seconds otherwise."""
    monkeypatch.setattr(patience, "_FULL_DISK_PERIOD_S", 0.01)


def alone(part: str, name: str, probability: float) -> Faults:
    """One fault, and no other."""
    values = {name: probability}
    match part:
        case "stage":
            return Faults(stage=StageFaults(**values))
        case "camera":
            return Faults(camera=CameraFaults(**values))
        case _:
            return Faults(disk=DiskFaults(**values))


def rehearsed(faults: Faults, make_info, plan, instant, folder: Path) -> tuple[Fate, Run]:
    """Scan with faults; every good frame is checked to be where it belongs."""
    fate, info = Fate(faults, instant.clock), make_info(plan)
    disk = FaultyDisk(fate)
    with RunWriter.create(folder / "run.zarr", info, disk=disk) as writer:
        scan(info, with_faults(instant, fate), writer, SilentObserver())
    run = Run(folder / "run.zarr")
    for line in run.lines(run.points()):
        for column, image in zip(line.columns, line.images, strict=True):
            target_um = plan.point(line.row, int(column)).target_um
            assert position_um(image) == pytest.approx(target_um, abs=0.003)
    return fate, run


@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("stage", name) for name in STAGE if name not in TOO_QUIET_TO_BE_SEEN),
        *(("camera", name) for name in CAMERA),
        ("disk", "full"),
    ],
)
def test_every_fault_alone_is_survived(
    make_info, small_plan, instant, tmp_path, part, name
) -> None:
    fate, run = rehearsed(alone(part, name, 0.15), make_info, small_plan, instant, tmp_path)
    assert fate.counts[f"{part} {name.replace('_', ' ')}"] > 0
    assert run.points().valid.all()


def test_a_sensor_that_warms_is_waited_for(
    make_info, small_plan, instant, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(guard, "_LOOK_EVERY_S", 0.0)
    limits = Limits(temperature_c=(-20.0, 40.0))
    info = make_info(small_plan, limits=limits)
    fate = Fate(Faults(seed=2, camera=CameraFaults(hot=0.15)), instant.clock)
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        summary = scan(info, with_faults(instant, fate), writer, SilentObserver())
    assert summary.valid == 63
    assert fate.counts["camera hot"] > 0
    log = (tmp_path / "run.zarr" / "log.jsonl").read_text()
    assert "temperature of the camera: expected -20 to 40 C, got 60.0 C" in log


def test_a_storm_records_nothing_wrong(make_info, small_plan, instant, tmp_path) -> None:
    plan = small_plan.model_copy(update={"rows": 60, "columns": 40})
    storm = Faults(
        stage=StageFaults(**dict.fromkeys(set(STAGE) - TOO_QUIET_TO_BE_SEEN, 0.01)),
        camera=CameraFaults(**dict.fromkeys(CAMERA, 0.01)),
        disk=DiskFaults(full=0.01),
        latency_s=0.001,
    )
    fate, run = rehearsed(storm, make_info, plan, instant, tmp_path)
    assert sum(count > 0 for count in fate.counts.values()) >= 12
    assert run.points().valid.mean() > 0.999
    log = (tmp_path / "run.zarr" / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in log]
    assert all(isinstance(event["point"], int | None) for event in events)
    assert sum(event["message"].startswith("attempt") for event in events) > 100


def test_the_command_says_what_went_wrong(command: Command, tmp_path: Path) -> None:
    mask = save_mask(tmp_path / "mask.npy", "######", "#.....", "####..", "#.....")
    storm = tmp_path / "storm.toml"
    storm.write_text("seed = 2\n[stage]\nrefused = 0.2\n[camera]\nlost = 0.02\n")
    arguments = ["acquire", "--sample", mask, "--dry-run", "--faults", storm]
    outcome = command(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "48 of 48 points valid" in outcome.out
    assert "x stage refused" in outcome.out
    assert "disk: " not in outcome.out
    for name in ("travel in x", "dose", "shutter"):
        assert f"\n{name} " in outcome.out
    *_, last = outcome.out.splitlines()
    assert last.startswith("dry run: nothing was recorded; the scan would take 0:0")


@pytest.mark.parametrize(
    ("arguments", "text", "told"),
    [
        ([], "", "add --dry-run"),
        (["--dry-run"], "[stage]\nrefuse = 0.1\n", "unknown key stage.refuse"),
        (["--dry-run"], "[camera]\nlost = 2\n", "camera.lost"),
    ],
)
def test_wrong_schedules_are_told(command: Command, tmp_path, arguments, text, told) -> None:
    (tmp_path / "storm.toml").write_text(text)
    outcome = command("acquire", "--faults", tmp_path / "storm.toml", *arguments)
    assert told in outcome.error
