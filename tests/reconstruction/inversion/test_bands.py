"""A scan is inverted as its lines come, here and in a process of its own."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import opticalnet
from acquisition.frame import Frame, Status
from acquisition.store import Run
from acquisition.writer import RunWriter
from reconstruction.inversion import bands
from reconstruction.inversion.bands import BandPredictor
from reconstruction.inversion.inversion import invert
from reconstruction.inversion.live_inversion import LiveInversion
from simulation.threads import one_thread

CPU = torch.device("cpu")
PATIENCE_S = 120.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
LINES = 9
"""Of a band, in these tests."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """36 lines of 7 points."""
    folder = tmp_path_factory.mktemp("tall")
    squares = (np.random.default_rng(6).random((34, 5)) < 0.4).astype(np.uint8)
    np.save(folder / "squares.npy", squares)
    out = folder / "run.zarr"
    opticalnet.acquire(str(folder / "squares.npy"), instrument="simulated-still", out=out)
    return Run(out)


@pytest.fixture(scope="module")
def lines(run):
    return list(run.lines(run.points()))


@pytest.fixture(scope="module")
def inverted(run):
    """All of it at once."""
    return invert(run, run.points(), None, CPU)


@pytest.fixture(scope="module")
def predictor(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_MOST_LINES", LINES)
        yield lambda: BandPredictor(run.info, CPU)


@pytest.fixture(scope="module")
def whole(predictor, lines):
    with one_thread():
        return predicted(predictor(), lines)


def predicted(predictor, lines):
    for line in lines:
        predictor.consume(line)
    predictor.finish()
    return predictor.squares


def test_bands_say_what_the_whole_run_says(inverted, whole):
    decided = ~(inverted.undecided | whole.undecided)
    assert decided.mean() > 0.7
    assert np.array_equal(whole.is_open[decided], inverted.is_open[decided])
    assert np.abs(whole.coverage - inverted.coverage).mean() < 0.03
    assert abs(whole.chi_squared - inverted.chi_squared) < 0.005
    assert np.array_equal(whole.count, inverted.count)


def test_a_band_is_final_once_all_that_see_it_are_there(run, predictor, lines, whole):
    growing, around = predictor(), 8
    with one_thread():
        for line in lines:
            growing.consume(line)
            known = np.isfinite(growing.squares.probability).all(axis=1)
            # Bands of nine lines; the last needs none beyond, the first has one of margin.
            there = 36 if line.row == 35 else max(0, (line.row + 1 - around) // LINES * LINES)
            assert known.sum() == np.clip(there - 1, 0, 34)
            final = growing.squares.probability[known]
            assert np.array_equal(final, whole.probability[known])


def test_lines_in_any_order_give_the_same_bits(predictor, lines, whole):
    order = np.random.default_rng(0).permutation(len(lines))
    with one_thread():
        shuffled = predicted(predictor(), [lines[n] for n in order])
    assert np.array_equal(shuffled.probability, whole.probability)
    assert np.array_equal(shuffled.uncertainty, whole.uncertainty)


def test_lines_that_never_come(predictor, lines, whole):
    there = [line for line in lines if line.row not in {4, 5} and line.row < 26]
    found = predicted(predictor(), there)
    assert np.isfinite(found.probability[:28]).all()
    assert np.isnan(found.probability[28:]).all()  # three squares beyond the last line
    decided = ~(found.undecided | whole.undecided)[:25]
    assert decided.mean() > 0.4
    assert np.array_equal(found.is_open[:25][decided], whole.is_open[:25][decided])


def frames_of(run, rows):
    for row, line in enumerate(run.info.plan.lines()):
        if row in rows:
            for point, image in zip(line, run.frames(row), strict=True):
                yield Frame(point, image, point.target_um, 0.0, 1, Status.VALID)


def wait_for(what):
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_run_is_inverted_while_it_grows(run, inverted, tmp_path):
    said = []
    with RunWriter.create(tmp_path / "run.zarr", run.info) as writer:
        live = LiveInversion(tmp_path / "run.zarr", CPU, warn=said.append)
        for frame in frames_of(run, range(21)):  # 12 of a band, 8 around it, and one
            writer.add(frame)
        wait_for(lambda: live.inverted is not None)
        assert live.inverted.lines == 11
        known = np.isfinite(live.inverted.probability).all(axis=1)
        assert not live.inverted.undecided[~known].any()
        for frame in frames_of(run, range(21, 36)):
            writer.add(frame)
    live.finish()
    live.stop()
    assert said == []
    sure = ~(inverted.undecided | live.inverted.undecided)
    is_open = live.inverted.probability >= 0.5
    assert sure.mean() > 0.7
    assert np.array_equal(is_open[sure], inverted.is_open[sure])
    assert live.inverted.chi_squared == pytest.approx(inverted.chi_squared, abs=0.005)


def test_a_run_that_cannot_be_read_is_told_once(tmp_path):
    said = []
    live = LiveInversion(tmp_path / "none.zarr", CPU, warn=said.append)
    live.finish()
    assert said == [f"no live inversion: no run at {tmp_path / 'none.zarr'}; check the path"]
    assert live.inverted is None


def test_damage_in_mid_scan_is_told_once(run, tmp_path):
    said = []
    with RunWriter.create(tmp_path / "run.zarr", run.info) as writer:
        for frame in frames_of(run, range(3)):
            writer.add(frame)
        live = LiveInversion(tmp_path / "run.zarr", CPU, warn=said.append)
        with (tmp_path / "run.zarr" / "journal.jsonl").open("ab") as journal:
            journal.write(b"damaged\n")
        live.finish()
    (told,) = said
    assert told.startswith("no live inversion: ")
    assert "journal line 22 is damaged" in told


@posix
def test_a_process_that_is_killed_is_told(run):
    said = []
    live = LiveInversion(run.path, CPU, warn=said.append)
    os.kill(live.process_id, signal.SIGKILL)
    live.finish()
    (told,) = said
    assert told.startswith(
        "the live inversion ended with exit code -9, saying nothing; the run"
    )


@posix
def test_an_inversion_that_is_stopped_says_nothing(run):
    said = []
    live = LiveInversion(run.path, CPU, warn=said.append)
    live.stop()
    live.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(live.process_id, 0)
    assert said == []


WITHOUT_END = """
import sys, time
from pathlib import Path
import torch
from reconstruction.inversion.live_inversion import LiveInversion

live = LiveInversion(Path(sys.argv[1]), torch.device("cpu"))
print(live.process_id, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_the_inversion_ends_with_the_scan(run, tmp_path):
    path = shutil.copytree(run.path, tmp_path / "run.zarr")
    (path / "journal.jsonl").write_bytes(b"")  # so that it waits for lines
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_END, path], stdout=subprocess.PIPE
    ) as scan:
        inversion = os.pidfd_open(int(scan.stdout.readline()))
        scan.kill()
    ended, _, _ = select.select([inversion], [], [], PATIENCE_S)
    os.close(inversion)
    assert ended
