"""The run on disk: durable, readable while it grows, honest when damaged."""

import errno
import json
import math
import time
import zlib

import numpy as np
import pytest
import zarr

from acquisition.creation import check_output, run_bytes
from acquisition.disk import Disk
from acquisition.frame import Dither, Frame, LandmarkVisit, Status
from acquisition.journal import JournalReader
from acquisition.plan import LandmarkSchedule, ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import RunStoreError
from configs.instrument import InstrumentConfig
from configs.sample import Fabrication, Mask, Star


def frame_of(point, status=Status.VALID):
    """A frame that carries its own index in its pixels."""
    image = np.full((64, 64), point.index, np.uint16)
    return Frame(point, image, point.target_um, 0.5 * point.index, 1, status)


@pytest.fixture
def info(small_plan, make_info):
    return make_info(small_plan)


def test_every_frame_is_where_its_index_says(tmp_path, info):
    plan = info.plan
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for line in plan.lines():
            for point in reversed(line):
                writer.add(frame_of(point))
    run = Run(tmp_path / "run.zarr")
    assert run.info == info
    for row in range(plan.rows):
        expected = row * plan.columns + np.arange(plan.columns)
        assert np.array_equal(run.frames(row)[:, 0, 0], expected)
    assert run.points().valid.all()
    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    targets = [plan.point(*divmod(i, plan.columns)).target_um for i in range(len(plan))]
    np.testing.assert_allclose(group["points/target_um"][:], targets)
    np.testing.assert_allclose(group["points/readback_um"][:], targets)
    np.testing.assert_allclose(group["points/started_s"][:], 0.5 * np.arange(len(plan)))
    assert np.isnan(group["points/drift_um"][:]).all()
    assert group["frames"].chunks == (plan.columns, 64, 64)


def test_a_line_can_be_read_before_it_is_whole_and_keeps_what_it_has(tmp_path, info):
    points = list(info.plan.points())
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for count in (4, 12, 13):
            for point in points[writer.points.taken.sum() : count]:
                writer.add(frame_of(point))
            writer.flush()
            run = Run(tmp_path / "run.zarr")
            lines = list(run.lines(run.points()))
            taken = [int(i) for line in lines for i in line.images[:, 0, 0]]
            assert taken == list(range(count))


def test_a_frame_is_on_disk_within_a_second_whatever_the_scan_waits_for(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        writer.add(frame_of(info.plan.point(2, 3)))
        added_s = time.monotonic()
        while not Run(tmp_path / "run.zarr").points().valid.any():
            assert time.monotonic() < added_s + 1.0
        assert Run(tmp_path / "run.zarr").points().valid[2 * 9 + 3]


def test_a_run_goes_on_where_it_was_killed(tmp_path, info):
    points = list(info.plan.points())
    with RunWriter.create(tmp_path / "whole.zarr", info) as writer:
        for point in points:
            writer.add(frame_of(point))
    path = tmp_path / "run.zarr"
    with RunWriter.create(path, info) as writer:
        for point in points[:13]:
            writer.add(frame_of(point))
    # Killed: half a record, half a chunk, and pixels that no record speaks of.
    with (path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"index": 13, "tar')
    (path / "frames" / "c" / "1" / "0" / f"0.{'a' * 32}.unfinished").write_bytes(b"half")
    for first, last in ((13, 14), (14, 40), (40, 63)):
        with RunWriter(Run(path)) as writer:
            assert np.flatnonzero(writer.points.valid).tolist() == list(range(first))
            for point in points[first:last]:
                writer.add(frame_of(point))
    assert not list(path.rglob("*.unfinished"))
    for name in ("frames", "points/started_s", "points/status", "points/readback_um"):
        whole = zarr.open_group(tmp_path / "whole.zarr", mode="r")[name]
        again = zarr.open_group(path, mode="r")[name]
        np.testing.assert_array_equal(again[:], whole[:])
    assert list(Run(path).journal()) == list(Run(tmp_path / "whole.zarr").journal())


def test_a_run_has_one_writer_at_a_time(tmp_path, info):
    path = tmp_path / "run.zarr"
    with RunWriter.create(path, info) as writer:
        writer.add(frame_of(info.plan.point(0, 0)))
        with pytest.raises(RunStoreError, match="being scanned by another process"):
            RunWriter(Run(path))
    with RunWriter(Run(path)) as writer:
        assert writer.points.valid.sum() == 1


def test_a_point_taken_again_counts_as_it_came_last(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            failed = point.index == 20
            writer.add(frame_of(point, Status.INVALID if failed else Status.VALID))
        writer.add(frame_of(info.plan.point(2, 2)))
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.all()
    assert len(list(run.journal())) == 64
    assert run.valid_frames(2, run.points()).images[:, 0, 0].tolist() == list(range(18, 27))


class FullDisk(Disk):
    """A disk that has room for so many writes, and for half of the one after them."""

    def __init__(self):
        self.room = math.inf

    def replace(self, path, data):
        self._take()
        super().replace(path, data)

    def append(self, path, end, data):
        if self.room == 0:
            super().append(path, end, data[: len(data) // 2])
        self._take()
        super().append(path, end, data)

    def _take(self):
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_disk_loses_nothing_and_shows_nothing_half(tmp_path, info, room):
    points, disk = list(info.plan.points()), FullDisk()
    path = tmp_path / "run.zarr"
    with RunWriter.create(path, info, disk=disk) as writer:
        for point in points[:13]:
            writer.add(frame_of(point))
        writer.flush()
        disk.room = room  # for pixels, or not even for them
        writer.add(frame_of(points[13]))
        with pytest.raises(RunStoreError, match=r"No space left.*acknowledged is safe"):
            writer.flush()
        with pytest.raises(RunStoreError):
            writer.add(frame_of(points[14]))
        run = Run(path)
        assert run.points().valid.sum() == 13
        assert sum(len(line.images) for line in run.lines(run.points())) == 13
        disk.room = math.inf
        writer.flush()
        for point in points[15:]:
            writer.add(frame_of(point))
    run = Run(path)
    lines = list(run.lines(run.points()))
    assert [int(i) for line in lines for i in line.images[:, 0, 0]] == list(range(63))
    assert [record.index for record in run.journal()][:13] == list(range(13))


def test_lines_of_a_growing_run_come_once_they_are_whole(tmp_path, info):
    path, waited, rows = tmp_path / "run.zarr", [], []
    with RunWriter.create(path, info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point, Status.INVALID if point.index == 21 else Status.VALID))
    records = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (path / "journal.jsonl").write_bytes(b"")
    # What is acknowledged each time that there are no more lines.
    parts = iter([records[:20], records[20:26], records[26:27], records[27:]])

    def wait():
        waited.append(list(rows))
        with (path / "journal.jsonl").open("ab") as journal:
            journal.writelines(next(parts))

    for line in Run(path).growing_lines(wait):
        rows.append(line.row)
        expected = range(9 * line.row, 9 * line.row + 9)
        assert line.images[:, 0, 0].tolist() == [i for i in expected if i != 21]
    assert waited == [[], [0, 1], [0, 1], [0, 1, 2]]
    assert rows == list(range(info.plan.rows))


def test_a_torn_record_of_a_growing_run_waits_for_its_rest(tmp_path, info):
    path = tmp_path / "run.zarr"
    with RunWriter.create(path, info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point))
    journal = path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    reader = JournalReader(path, len(info.plan))
    assert [record.index for record in reader.records()] == list(range(62))
    assert list(reader.records()) == []
    journal.write_bytes(whole)
    assert [record.index for record in reader.records()] == [62]


def test_whatever_ends_the_scan_the_line_under_way_is_kept(tmp_path, info):
    def interrupted():
        with RunWriter.create(tmp_path / "run.zarr", info) as writer:
            for point in list(info.plan.points())[:5]:
                writer.add(frame_of(point))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.sum() == 5
    assert run.frames(0)[:5, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_journal_has_the_checksum_of_every_image(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            status = Status.INVALID if point.index == 7 else Status.VALID
            writer.add(frame_of(point, status))
    run = Run(tmp_path / "run.zarr")
    records = list(run.journal())
    assert [record.index for record in records] == list(range(63))
    for record in records:
        image = run.frames(record.index // 9)[record.index % 9]
        assert record.crc32 == zlib.crc32(image.tobytes())
    assert np.flatnonzero(~run.points().valid).tolist() == [7]


def test_a_torn_last_record_is_no_record(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point))
    journal = tmp_path / "run.zarr" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 62


def test_a_damaged_record_is_named(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point))
    journal = tmp_path / "run.zarr" / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:3], b"garbage", *lines[4:]]))
    with pytest.raises(RunStoreError, match="journal line 4"):
        Run(tmp_path / "run.zarr").points()


def test_looks_at_the_landmark_are_kept(tmp_path, make_info):
    plan = ScanPlan(
        rows=7, columns=9, centre_um=(100.0, 100.0), landmark=LandmarkSchedule(every_lines=3)
    )
    images = np.full((plan.landmark.frames, 64, 64), 9, np.uint16)
    place_um = (99.0, 98.0)

    def dither(started_s):
        offsets_um = np.arange(50.0).reshape(25, 2)
        many = np.arange(25, dtype=np.uint16)[:, None, None, None] + np.zeros_like(images)
        return Dither(place_um, (0.01, started_s), offsets_um, many, started_s)

    def visit(number, line):
        drift_um, sd_um = (0.001 * line, 0.0), (0.002, 0.003)
        seen = (number, line, place_um, images, drift_um, sd_um, 1.1, True, drift_um, line)
        return LandmarkVisit(*seen)

    with RunWriter.create(tmp_path / "run.zarr", make_info(plan)) as writer:
        writer.add_landmark(dither(0.5))
        writer.add_landmark(visit(0, 0))
        writer.add_landmark(visit(1, 3))
    with RunWriter(Run(tmp_path / "run.zarr")) as writer:
        learnt, visits = writer.landmark_there()
        assert (learnt.place_um, learnt.drift_um) == (place_um, (0.01, 0.5))
        assert visits["line"].tolist() == [0, 3]
        np.testing.assert_array_equal(learnt.images, dither(0.5).images)
        writer.add_landmark(dither(1.5))
        writer.add_landmark(visit(2, 6))
    run = Run(tmp_path / "run.zarr")
    assert run.dither().drift_um == (0.01, 1.5)
    assert run.dither().earlier_looks == 25
    landmark = run.landmark()
    assert landmark["line"].tolist() == [0, 3, 6]
    assert landmark["drift_um"].tolist() == [[0, 0], [0.003, 0], [0.006, 0]]
    assert landmark["is_believed"].tolist() == [1, 1, 1]
    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    assert group["landmark/frames"].shape == (3, plan.landmark.frames, 64, 64)
    assert (group["landmark/frames"][2] == 9).all()


def test_truth_is_kept(tmp_path, info):
    truth = np.random.default_rng(0).random(info.plan.sample_shape)
    with RunWriter.create(tmp_path / "run.zarr", info, truth):
        pass
    np.testing.assert_allclose(Run(tmp_path / "run.zarr").truth, truth, rtol=1e-6)


@pytest.mark.parametrize(
    "sample", [None, Star(spokes=7, fabrication=Fabrication(missing=0.1)), Mask(path="a.npy")]
)
def test_what_drew_the_sample_is_kept(tmp_path, info, sample):
    info = info.model_copy(update={"sample_config": sample})
    with RunWriter.create(tmp_path / "run.zarr", info):
        pass
    assert Run(tmp_path / "run.zarr").info.sample_config == sample


def test_a_run_from_before_samples_were_kept_opens_without(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info):
        pass
    file = tmp_path / "run.zarr" / "zarr.json"
    document = json.loads(file.read_text())
    del document["attributes"]["opticalnet"]["sample_config"]
    file.write_text(json.dumps(document))
    assert Run(tmp_path / "run.zarr").info == info


def test_an_existing_path_is_never_touched(tmp_path, info):
    (tmp_path / "run.zarr").mkdir()
    (tmp_path / "run.zarr" / "precious").write_text("x")
    with pytest.raises(RunStoreError, match="exists already"):
        RunWriter.create(tmp_path / "run.zarr", info)
    assert (tmp_path / "run.zarr" / "precious").read_text() == "x"


def test_nothing_is_left_where_a_run_cannot_be_made(tmp_path, info):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunStoreError, match="cannot create run"):
        RunWriter.create(tmp_path / "file" / "run.zarr", info)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path):
    plan = ScanPlan(rows=100_000, columns=100_000, centre_um=(0.0, 0.0))
    assert run_bytes(plan, 64) > 8e13
    with pytest.raises(RunStoreError, match="disk too small"):
        check_output(tmp_path / "run.zarr", plan, InstrumentConfig(name="test"))


def test_what_is_no_run_is_refused(tmp_path, info):
    with pytest.raises(RunStoreError, match="no run at"):
        Run(tmp_path / "missing.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunStoreError, match="is no run"):
        Run(tmp_path / "folder")
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(RunStoreError, match="is no run"):
        Run(tmp_path / "foreign.zarr")


def test_a_run_of_another_version_is_refused(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info):
        pass
    file = tmp_path / "run.zarr" / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["opticalnet"]["format"] = "opticalnet-run-9"
    file.write_text(json.dumps(document))
    with pytest.raises(RunStoreError, match="opticalnet-run-9"):
        Run(tmp_path / "run.zarr")


def test_a_damaged_chunk_is_named(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point))
    (tmp_path / "run.zarr" / "frames" / "c" / "2" / "0" / "0").write_bytes(b"garbage")
    run = Run(tmp_path / "run.zarr")
    line = run.valid_frames(1, run.points())
    assert line.row == 1
    assert line.columns.tolist() == list(range(9))
    assert (run.frames(1)[:, 0, 0] == np.arange(9, 18)).all()
    with pytest.raises(RunStoreError, match="frames"):
        run.frames(2)


def test_an_image_that_is_not_the_recorded_one_is_refused(tmp_path, info):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        for point in info.plan.points():
            writer.add(frame_of(point))
    (tmp_path / "run.zarr" / "frames" / "c" / "2" / "0" / "0").unlink()
    run = Run(tmp_path / "run.zarr")
    with pytest.raises(RunStoreError, match="point 18 is not the one that was recorded"):
        run.valid_frames(2, run.points())
