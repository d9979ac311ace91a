"""Bit for bit the same however it is made; whole, or not there at all."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from dataset_bench import BLOCK, BRIGHT, PARTS, STAR, bench, contents, make, part, small_plan
from PIL import Image

from configs.dataset import DatasetPlan
from configs.errors import ConfigError, OpticalNetError, RunStoreError
from configs.optics import Optics
from simulation.dataset_maker import DatasetFiles, make_dataset
from simulation.dataset_scan import draw_scan
from simulation.defocus import FocusSeries
from simulation.line_simulator import LineSimulator
from simulation.modes import modes_of
from simulation.workers import LocalWorkers


@pytest.fixture
def two_threads():
    """Torch as it is on a machine with two cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    with ThreadPoolExecutor(1) as new:  # a set leaves torch's threads alone, also later ones
        assert (torch.get_num_threads(), new.submit(torch.get_num_threads).result()) == (2, 2)
    torch.set_num_threads(before)


def files_beside(out: Path) -> set[str]:
    return {path.name for path in out.parent.iterdir()}


class Failing:
    """Workers that raise after some lines."""

    def __init__(self, lines: int, error: BaseException) -> None:
        self._lines = lines
        self._error = error

    def run(self, simulator, lines):
        for done, line in enumerate(lines):
            if done == self._lines:
                raise self._error
            yield line, simulator.frames(line)


class Backwards:
    """Workers that give the last line first."""

    def run(self, simulator, lines):
        for line in reversed(list(lines)):
            yield line, simulator.frames(line)


@pytest.mark.parametrize("workers", [LocalWorkers(2), LocalWorkers(5), Backwards()])
def test_who_does_the_work_makes_no_difference(two_threads, tmp_path, workers):
    plan = small_plan()
    alone = make(plan, tmp_path / "one.zarr", LocalWorkers(1))
    together = make(plan, tmp_path / "other.zarr", workers)
    assert contents(alone) == contents(together)


def test_what_was_computed_before_makes_no_difference(two_threads, tmp_path):
    # Where there is much light, a last bit of it is soon a count more.
    plan = small_plan(instrument=bench(BRIGHT))
    modes_of.cache_clear()
    first = make(plan, tmp_path / "one.zarr")
    modes_of.cache_clear()
    FocusSeries(plan.instrument.optics, 180.0).at(0.0)
    FocusSeries(plan.instrument.optics, 30.0).at(0.0)
    assert contents(first) == contents(make(plan, tmp_path / "other.zarr"))


def test_lines_are_drawn_only_as_they_are_needed():
    plan = small_plan(parts=[{**BLOCK, "sample": {"kind": "block", "squares": 60}}])
    simulator = LineSimulator(plan)
    drawn = []

    def lines():
        for line in draw_scan(plan, 0, 0).lines(simulator.side(180.0)):
            drawn.append(line.row)
            yield line

    results = LocalWorkers(2).run(simulator, lines())
    for done in range(1, 20):
        next(results)
        assert len(drawn) <= done + 5
    results.close()
    assert len(drawn) < 30


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")])
@pytest.mark.parametrize("lines", [0, 14])
def test_a_failure_leaves_nothing_behind(tmp_path, error, lines):
    out = tmp_path / "set.zarr"
    expected = RunStoreError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        make(small_plan(), out, Failing(lines, error))
    assert files_beside(out) == set()
    make(small_plan(), out)
    assert files_beside(out) == {"set.zarr", "set.datasheet.md", "set.histogram.png"}


def test_what_is_there_already_stays(tmp_path):
    out = tmp_path / "set.zarr"
    out.write_text("precious")
    with pytest.raises(RunStoreError, match=r"set\.zarr exists already"):
        make(small_plan(), out)
    assert (files_beside(out), out.read_text()) == ({"set.zarr"}, "precious")


def test_a_set_in_the_way_at_the_end_stays(tmp_path):
    out = tmp_path / "set.zarr"

    def someone_else(done, frames):
        if done == frames:
            out.mkdir()
            (out / "precious").touch()

    with pytest.raises(RunStoreError, match="nothing was kept"):
        make_dataset(small_plan(), out, LocalWorkers(1), someone_else)
    assert {path.name for path in tmp_path.rglob("*")} >= {"set.zarr", "precious"}
    assert not list(tmp_path.glob(".draft*"))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunStoreError, match="cannot write data set"):
        make(small_plan(), tmp_path / "file" / "set.zarr")
    assert files_beside(tmp_path / "file") == {"file"}


def test_progress_counts_every_frame(tmp_path):
    said = []
    workers = LocalWorkers(2)
    make_dataset(small_plan(), tmp_path / "set.zarr", workers, lambda *now: said.append(now))
    done = [frames for frames, _ in said]
    assert done == sorted(set(done))
    assert said[-1] == (200, 200)
    assert {total for _, total in said} == {200}


MISTAKES = {
    "too many frames": (
        [{**BLOCK, "frames": 82}],
        "train/block: expected 1 to 81 frames of 1 scans of 9 x 9 points, got 82",
    ),
    "a scan for nothing": ([{**BLOCK, "scans": 2, "frames": 81}], "expected 82 to 162 frames"),
    "the same star in both": (
        [STAR, {**STAR, "split": "train", "name": "stars"}],
        "no sample in both splits, got the same one in test/ss and train/stars",
    ),
    "no such mask": ([part("mask", path="nowhere.npy")], "no such file nowhere.npy"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_found_before_anything_is_written(tmp_path, kind):
    parts, said = MISTAKES[kind]
    with pytest.raises(ConfigError) as raised:
        make(small_plan(parts=parts), tmp_path / "sub" / "set.zarr")
    assert said in str(raised.value)
    assert not (tmp_path / "sub").exists()


def test_light_that_does_not_fit_is_found_before_anything_is_written(tmp_path):
    wide = bench().model_copy(
        update={"optics": Optics(beam={"kind": "gaussian", "fwhm_nm": 9e3})}
    )
    with pytest.raises(OpticalNetError, match="beam"):
        make(small_plan(instrument=wide), tmp_path / "sub" / "set.zarr")
    assert not (tmp_path / "sub").exists()


def test_no_worker_at_all():
    with pytest.raises(ConfigError, match="workers: expected 1 or more, got 0"):
        LocalWorkers(0)


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A set, and its datasheet."""
    out = tmp_path_factory.mktemp("described") / "set.zarr"
    (info,) = [make_dataset(small_plan(), out, LocalWorkers(2), lambda *now: None)]
    return info, DatasetFiles(out)


def test_the_datasheet_answers_all_seven_sections(described):
    _, files = described
    text = files.datasheet.read_text(encoding="utf-8")
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Motivation",
        "Composition",
        "Collection process",
        "Preprocessing, cleaning, labelling",
        "Uses",
        "Distribution",
        "Maintenance",
        "Histograms",
        "Plan",
    ]
    assert "SIMULATED" in text
    assert "{" not in text.partition("## Plan")[0]


def test_the_datasheet_states_what_was_written(described):
    info, files = described
    text = files.datasheet.read_text(encoding="utf-8")
    for fact in (
        "200 frames of 16 x 16 pixels",
        "| `train/block` | 100 | 2 | 9 x 9 | block |",
        "| `test/ss` | 100 | 1 | 10 x 10 | star |",
        "from the plan `small` with seed 3",
        "2,000 photo-electrons",
        "drift of (3, -2) nm/min",
        f"torch {torch.__version__}",
        "![Frames by the number of open squares in their target](set.histogram.png)",
    ):
        assert fact in text
    black = sum(one.histogram["7"][0] for one in info.parts)
    assert f"{black:,} of 7 x 7" in text
    ours, theirs = (one.histogram["3"][2] for one in info.parts)
    assert f"| 2 | {ours} | {theirs} |" in text


def test_the_datasheet_has_the_plan_to_make_the_set_again(described):
    _, files = described
    text = files.datasheet.read_text(encoding="utf-8")
    toml = text.partition("```toml\n")[2].partition("```")[0]
    assert DatasetPlan.checked("datasheet", tomllib.loads(toml)) == small_plan()


def test_the_histogram_is_a_picture(described):
    with Image.open(described[1].histogram) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


def test_stale_descriptions_are_replaced(tmp_path):
    out = tmp_path / "set.zarr"
    for file in (DatasetFiles(out).datasheet, DatasetFiles(out).histogram):
        file.write_text("of a set that is gone")
    make(small_plan(parts=PARTS[1:]), out)
    assert "of a set that is gone" not in DatasetFiles(out).datasheet.read_text("utf-8")
    assert DatasetFiles(out).histogram.read_bytes().startswith(b"\x89PNG")
