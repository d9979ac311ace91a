"""Bit for bit the same however it is made; whole, or not there at all."""

import os
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_bench import BLOCK, BRIGHT, STAR, bench, contents, make, part, small_plan
from matplotlib.colors import to_rgba
from PIL import Image

from configs.dataset import DatasetPlan
from configs.errors import ConfigError, OpticalNetError, RunStoreError
from configs.optics import Optics
from simulation.datasets.datasheet import histograms
from simulation.datasets.lines import LineSimulator
from simulation.datasets.maker import DatasetFiles, make_dataset
from simulation.datasets.scan import draw_scan
from simulation.datasets.workers import LocalWorkers
from simulation.defocus import FocusSeries
from simulation.modes import modes_of


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
        for line in simulator.lines(draw_scan(plan, 0, 0)):
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
    out = tmp_path / "sub" / "deep" / "set.zarr"
    expected = RunStoreError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        make(small_plan(), out, Failing(lines, error))
    assert not list(tmp_path.iterdir())
    make(small_plan(), out)
    assert files_beside(out) == {"set.zarr", "set.datasheet.md", "set.histogram.png"}


def test_what_is_there_already_stays(tmp_path):
    out = tmp_path / "set.zarr"
    out.write_text("precious")
    with pytest.raises(RunStoreError, match=r"set\.zarr exists already"):
        make(small_plan(), out)
    assert (files_beside(out), out.read_text()) == ({"set.zarr"}, "precious")


@pytest.mark.parametrize("name", ["set.zarr/zarr.json", "set.datasheet.md"])
def test_what_is_in_the_way_at_the_end_stays(tmp_path, name):
    out = tmp_path / "set.zarr"
    theirs = {name: b"precious"}

    def someone_else(done, frames):
        if done == frames:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"precious")

    with pytest.raises(RunStoreError, match="exists already"):
        make_dataset(small_plan(), out, LocalWorkers(1), someone_else)
    assert contents(tmp_path) == theirs
    assert len(files_beside(out)) == 1


@pytest.mark.parametrize("ending", ["datasheet.md", "histogram.png"])
def test_what_describes_another_set_stays(tmp_path, ending):
    theirs = tmp_path / f"set.{ending}"
    theirs.write_text("precious")
    said = rf"set\.{ending} exists already; move it or choose another --out"
    with pytest.raises(RunStoreError, match=said):
        make(small_plan(), tmp_path / "set.zarr", Failing(0, AssertionError("it simulates")))
    assert contents(tmp_path) == {theirs.name: b"precious"}


def test_a_set_that_cannot_be_published_whole_is_not_kept(tmp_path, monkeypatch):
    def refuse_pictures(source, target):
        if str(target).endswith(".png"):
            raise OSError(28, "No space left")
        rename(source, target)

    rename = os.rename
    monkeypatch.setattr(os, "rename", refuse_pictures)
    with pytest.raises(RunStoreError, match="nothing was kept"):
        make(small_plan(), tmp_path / "set.zarr")
    assert files_beside(tmp_path / "set.zarr") == set()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunStoreError, match="cannot write"):
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
    "no such mask": ([part("mask", path="nowhere.npy")], "cannot read nowhere.npy"),
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


def test_histograms_draw_what_was_counted(described):
    info, files = described
    figure = histograms(info)
    for panel, grid in zip(figure.axes, (3, 5, 7), strict=True):
        assert panel.get_title() == f"{grid} x {grid} squares"
        legend = panel.get_legend()
        names = [text.get_text() for text in legend.get_texts()]
        assert names == [kept.path for kept in info.parts]
        drawn = zip(panel.patches, legend.legend_handles, info.parts, strict=True)
        for steps, handle, kept in drawn:
            counts, edges, _ = steps.get_data()
            assert tuple(counts) == kept.histogram[str(grid)]
            assert list(edges) == [n - 0.5 for n in range(grid**2 + 2)]
            assert steps.get_edgecolor() == to_rgba(handle.get_color())
    colours = {steps.get_edgecolor() for steps in figure.axes[0].patches}
    assert len(colours) == len(info.parts)
    assert figure.get_suptitle() == "small  ·  seed 3  ·  SIMULATED"
    figure.savefig(files.set / "again.png", dpi=150)
    with Image.open(files.histogram) as kept, Image.open(files.set / "again.png") as again:
        assert kept.format == "PNG"
        assert np.array_equal(kept, again)
