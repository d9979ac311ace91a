"""Rehearsing what goes wrong: a scan in a storm, and the command for it."""

import json
import shutil
import threading
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from command_bench import Command, save_mask

import opticalnet
from acquisition import guard, patience, watchdog
from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, ConfigError
from configs.faults import (
    CameraFaults,
    DiskFaults,
    DriveFaults,
    Faults,
    ShutterFaults,
    StageFaults,
)
from configs.instrument import Limits
from opticalnet.rehearsal import FaultyDisk, with_faults
from simulation.fate import Fate
from simulation.instant import InstantFocus, position_um
from simulation.shutter import SimulatedShutter

PARTS = {
    "stage": StageFaults,
    "focus": DriveFaults,
    "shutter": ShutterFaults,
    "camera": CameraFaults,
    "disk": DiskFaults,
}
SIZES = {"off_target_nm", "jump_nm", "dark_frames", "hot_c", "full_writes"}
ELSEWHERE = {"hang", "jump", "hot"}
"""Tested by themselves below, or by the soak: on the way they end a scan, or nothing shows."""


def faults_of(part: str) -> list[str]:
    """What can go wrong with a part, and be survived."""
    return sorted(set(PARTS[part].model_fields) - SIZES - ELSEWHERE)


@pytest.fixture(autouse=True)
def _an_impatient_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that took no more is asked again without delay: real seconds otherwise."""
    monkeypatch.setattr(patience, "_FULL_DISK_PERIOD_S", 0.01)


@pytest.fixture
def whole(instant: Instrument) -> Instrument:
    """An instrument that has everything."""
    focus = InstantFocus((0.0, 100.0))
    return replace(instant, shutter=SimulatedShutter(), focus=focus)


class Order(SilentObserver):
    """Notes what became of the points, one after another."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int, str]] = []

    def frame(self, frame) -> None:
        self.seen.append((frame.point.index, frame.status, frame.attempts, frame.reason))


def rehearsed(faults: Faults, info, instrument, folder: Path) -> tuple[Fate, Run, Order]:
    """Scan with faults; every good frame is checked to be where it belongs."""
    fate, order = Fate(faults, instrument.clock), Order()
    path, disk = folder / "run.zarr", FaultyDisk(fate)
    with RunWriter.create(path, info, disk=disk) as writer:
        scan(info, with_faults(instrument, fate), writer, order)
    assert_good_frames_are_where_they_belong(Run(path))
    return fate, Run(path), order


def assert_good_frames_are_where_they_belong(run: Run) -> None:
    for line in run.lines(run.points()):
        for column, image in zip(line.columns, line.images, strict=True):
            target_um = run.info.plan.point(line.row, int(column)).target_um
            assert position_um(image) == pytest.approx(target_um, abs=0.003)


@pytest.mark.parametrize(
    ("part", "name"),
    [(part, name) for part in PARTS if part != "shutter" for name in faults_of(part)],
)
def test_every_fault_alone_is_survived(
    make_info, small_plan, whole, tmp_path, part, name
) -> None:
    faults = {part: PARTS[part](**{name: 0.15})}
    if part == "focus":  # without a landmark the drive moves after failures only
        faults["camera"] = CameraFaults(refused=0.15)
    fate, run, _ = rehearsed(Faults(**faults), make_info(small_plan), whole, tmp_path)
    assert fate.counts[f"{part} {name.replace('_', ' ')}"] > 0
    points = run.points()
    assert points.valid.all()
    assert points.columns["focus_um"] == pytest.approx(50.0, abs=0.02)
    assert not whole.shutter.is_open()


@pytest.mark.parametrize("name", faults_of("shutter"))
def test_a_shutter_that_fails_is_told_once_more(
    make_info, small_plan, whole, tmp_path, monkeypatch, name
) -> None:
    """It moves at every pause, and a camera that is hot now and then makes pauses."""
    monkeypatch.setattr(guard, "_LOOK_EVERY_S", 0.0)
    info = make_info(small_plan, limits=Limits(temperature_c=(-20.0, 40.0)))
    shutter, camera = ShutterFaults(**{name: 0.1}), CameraFaults(hot=0.15)
    faults = Faults(seed=11, shutter=shutter, camera=camera)
    fate, run, _ = rehearsed(faults, info, whole, tmp_path)
    assert fate.counts[f"shutter {name}"] > 1
    assert run.points().valid.all()
    assert not whole.shutter.is_open()
    assert "shutter: connected again" in (tmp_path / "run.zarr/log.jsonl").read_text()


def test_a_seed_repeats_whatever_the_disk_does(make_info, small_plan, whole, tmp_path) -> None:
    info = make_info(small_plan, timing={"attempts": 1})
    stage, camera = StageFaults(refused=0.05, jump=0.1), CameraFaults(torn=0.05)
    seen = []
    for full in (0.0, 0.1):
        faults = Faults(seed=4, stage=stage, camera=camera, disk=DiskFaults(full=full))
        folder = tmp_path / str(full)
        folder.mkdir()
        fate = Fate(faults, whole.clock)
        order = Order()
        with RunWriter.create(folder / "run.zarr", info, disk=FaultyDisk(fate)) as writer:
            scan(info, with_faults(whole, fate), writer, order)
        assert (fate.counts.pop("disk full", 0) > 0) == (full > 0)
        seen.append((order.seen, fate.counts))
    assert seen[0] == seen[1]
    order, counts = seen[0]
    assert sum(status == 2 for _, status, *_ in order) > 2
    assert min(counts[name] for name in ("stage refused", "stage jump", "camera torn")) > 0


@pytest.mark.parametrize("part", ["stage", "camera", "focus"])
@pytest.mark.parametrize("beside", [False, True], ids=["main", "thread"])
def test_a_hang_is_an_emergency_and_the_run_goes_on(
    make_info, small_plan, whole, tmp_path, monkeypatch, part, beside
) -> None:
    monkeypatch.setattr(watchdog, "_GRACE_S", 0.1)
    info = make_info(small_plan, timing={"move_timeout_s": 0.01, "frame_timeout_s": 0.01})
    faults = {"camera": CameraFaults(refused=0.15)} | {part: PARTS[part](hang=0.1)}
    fate, path, told = Fate(Faults(seed=1, **faults), whole.clock), tmp_path / "run.zarr", []

    def scan_until_it_hangs() -> None:
        with RunWriter.create(path, info) as writer:
            try:
                scan(info, with_faults(whole, fate), writer, SilentObserver())
            except AcquisitionError as error:
                told.append(str(error))

    if beside:
        thread = threading.Thread(target=scan_until_it_hangs)
        thread.start()
        thread.join(20)
    else:
        scan_until_it_hangs()
    assert len(told) == 1
    assert told[0].startswith(f"{part}: ")
    assert "the device hangs" in told[0]
    assert fate.counts[f"{part} hang"] == len(fate.hangs) == 1
    assert whole.stage.stops
    assert not whole.shutter.is_open()
    assert not Run(path).points().valid.all()
    with RunWriter(Run(path)) as writer:
        assert scan(info, whole, writer, SilentObserver()).valid == 63
    assert_good_frames_are_where_they_belong(Run(path))


def test_faults_of_what_is_not_there_are_told(instant) -> None:
    fate = Fate(Faults(focus=DriveFaults(late=0.1)), instant.clock)
    with pytest.raises(ConfigError, match=r"with a focus, as \[focus\] stands there, got one"):
        with_faults(instant, fate)


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


def test_a_storm_records_nothing_wrong(make_info, small_plan, whole, tmp_path) -> None:
    plan = small_plan.model_copy(update={"rows": 60, "columns": 40})
    percent = {
        part: kind(**dict.fromkeys(faults_of(part), 0.01)) for part, kind in PARTS.items()
    }
    storm = Faults(**percent, latency_s=0.001)
    fate, run, _ = rehearsed(storm, make_info(plan), whole, tmp_path)
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
    for name in ("travel in x", "dose", "disk", "shutter"):
        assert f"\n{name} " in outcome.out
    *_, last = outcome.out.splitlines()
    assert last.startswith("dry run: nothing was recorded; the scan would take 0:0")


def test_a_dry_run_looks_at_the_disk_and_at_stand_ins(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, asked = shutil.disk_usage, []

    def nothing_free(path):
        asked.append(Path(path))
        return usage(path)._replace(free=1_000_000)

    monkeypatch.setattr(shutil, "disk_usage", nothing_free)
    mask = save_mask(tmp_path / "mask.npy", "######", "#.....", "####..", "#.....")
    cooled = tmp_path / "cooled.toml"
    lab = files("configs").joinpath("presets/lab-example.toml").read_text()
    cooled.write_text(lab.replace("[limits]", "[limits]\ntemperature_c = [-20, 10]"))
    arguments = ["acquire", "--sample", mask, "--instrument", cooled, "--dry-run"]
    outcome = command(*arguments, "--out", tmp_path / "new" / "run.zarr")
    rows = {line.split("  ")[0]: line.rstrip() for line in outcome.out.splitlines()}
    assert rows["travel in x"].endswith("ok, simulated")
    assert rows["temperature"].endswith("ok, simulated")
    assert "told by none" in rows["temperature"]
    assert rows["disk"].endswith("NO")
    assert set(asked) == {tmp_path}
    assert "disk: expected 5" in outcome.error
    assert "MB free, got 1 MB; make room at" in outcome.error


def test_further_looks_are_rehearsed(tmp_path: Path) -> None:
    mask = save_mask(tmp_path / "mask.npy", "######", "#.....", "####..", "#.....")
    options = {"dry_run": True, "out": tmp_path / "run.zarr", "exposure_ms": 200.0}
    plain = opticalnet.acquire(str(mask), **options)
    finished = opticalnet.acquire(str(mask), finish=0.5, **options)
    looks_s = finished.seconds - plain.seconds
    assert 24 * 0.2 < looks_s < 2 * 24 * 0.2
    assert finished.dose_j_per_cm2 > plain.dose_j_per_cm2
    assert finished.megabytes > plain.megabytes


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


def test_a_rehearsal_where_nothing_happened_says_so(command: Command, tmp_path: Path) -> None:
    mask = save_mask(tmp_path / "mask.npy", "######", "#.....", "####..", "#.....")
    (tmp_path / "calm.toml").write_text("[camera]\nlost = 1e-9\n")
    outcome = command(
        "acquire", "--sample", mask, "--dry-run", "--faults", tmp_path / "calm.toml"
    )
    assert "went wrong, as rehearsed: nothing" in outcome.out
