"""What is no run, and runs that are damaged: one clear line, nothing changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import (
    Command,
    check_refused,
    contents,
    taken,
)
from safetensors import safe_open
from safetensors.torch import save_file

from reconstruction.weights_file import shipped_weights

pytestmark = pytest.mark.usefixtures("devices_are_closed")


Writer = Callable[[Path], object]


def make_foreign_group(path: Path) -> None:
    zarr.create_group(path, zarr_format=3)


def make_foreign_array(path: Path) -> None:
    zarr.create_array(path, shape=(3,), dtype="uint8")


def make_root_file(text: bytes) -> Writer:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "zarr.json").write_bytes(text)

    return make


NO_RUNS: dict[str, tuple[Writer, str]] = {
    "nothing": (lambda _: None, "no run at thing.zarr; check the path"),
    "folder": (Path.mkdir, "is no run"),
    "file": (Path.touch, "is no run"),
    "foreign group": (make_foreign_group, "is no run"),
    "foreign array": (make_foreign_array, "is no run"),
    "empty root": (make_root_file(b""), "is no run"),
    "torn root": (make_root_file(b'{"zarr_format": 3, "node_'), "is no run"),
    "binary root": (make_root_file(b"\xff\xfe"), "is no run"),
    "list for a root": (make_root_file(b"[]"), "is no run"),
}


@pytest.mark.parametrize("kind", NO_RUNS)
def test_what_is_no_run(command: Command, place: Path, kind: str) -> None:
    make, said = NO_RUNS[kind]
    make(place / "thing.zarr")
    check_refused(command, place, ["reconstruct", "thing.zarr"], "thing.zarr", said)


def journal(run: Path) -> list[bytes]:
    """Lines of the journal, with their ends."""
    return (run / "journal.jsonl").read_bytes().splitlines(keepends=True)


def change_attributes(run: Path, **values: object) -> None:
    root = json.loads((run / "zarr.json").read_text())
    root["attributes"]["opticalnet"].update(values)
    (run / "zarr.json").write_text(json.dumps(root))


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def tear_middle(run: Path) -> None:
    lines = journal(run)
    lines[5] = lines[5][:40] + b"\n"
    (run / "journal.jsonl").write_bytes(b"".join(lines))


def write_journal(text: bytes) -> Writer:
    return lambda run: (run / "journal.jsonl").write_bytes(text)


CHUNK = Path("frames", "c", "3", "0", "0")
DAMAGE: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "other version": (
        lambda run: change_attributes(run, format="opticalnet-run-9"),
        ("expected format opticalnet-run-2", "got opticalnet-run-9"),
    ),
    "unknown attribute": (
        lambda run: change_attributes(run, magic=1),
        ("expected format opticalnet-run-2", "magic", "version that wrote it"),
    ),
    "journal gone": (
        lambda run: (run / "journal.jsonl").unlink(),
        ("expected a readable journal.jsonl",),
    ),
    "journal empty": (write_journal(b""), ("expected frames, got none",)),
    "journal damaged": (tear_middle, ("journal line 6 is damaged",)),
    "journal of numbers": (write_journal(b"5\n"), ("journal line 1 is damaged",)),
    "journal of another scan": (
        write_journal(b'{"index": 64, "status": 1, "readback_um": null}\n'),
        ("journal line 1 is damaged",),
    ),
    "frames gone": (lambda run: shutil.rmtree(run / "frames"), ("cannot read frames",)),
    "chunk gone": (lambda run: (run / CHUNK).unlink(), ("image of point 24", "damaged")),
    "chunk torn": (lambda run: tear(run / CHUNK), ("cannot read frames", "damaged")),
    "chunk altered": (lambda run: flip(run / CHUNK), ("damaged there",)),
    "lines exchanged": (
        lambda run: shutil.copy(run / "frames/c/4/0/0", run / CHUNK),
        ("image of point 24", "damaged"),
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run(command: Command, run_copy: Path, kind: str) -> None:
    damage, said = DAMAGE[kind]
    damage(run_copy)
    before = contents(run_copy.parent)
    outcome = command("reconstruct", run_copy, "--json")
    assert (outcome.code, outcome.out) == (1, "")
    *progress, error = outcome.err.splitlines()
    assert all(line.endswith(" of 8 lines") for line in progress)
    for part in ("error: ", str(run_copy), *said):
        assert part in error
    assert contents(run_copy.parent) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "4"], "expected 3, 5 or 7"),
        (["--device", "foo"], "expected auto, cpu or cuda"),
        (["--method", "guess"], "--method: expected network, frames, pooled, inversion, got"),
        (["--prior", "sharp"], "prior: expected smooth, binary, none, got 'sharp'"),
        (["--prior", "smooth", "--method", "frames"], "--prior: expected the inversion"),
        (["--grid", "3", "--method", "inversion"], "--grid: expected a network"),
    ],
)
def test_bad_values_for_a_good_run(
    command: Command, run_copy: Path, arguments: list[str], said: str
) -> None:
    before = contents(run_copy.parent)
    assert said in command("reconstruct", run_copy, *arguments).error
    assert contents(run_copy.parent) == before


@pytest.mark.parametrize("cut", ["after 2 lines", "in the 21st record", "by the power"])
def test_a_truncated_run_shows_what_it_has(command: Command, run_copy: Path, cut: str) -> None:
    lines = journal(run_copy)
    rest = {
        "after 2 lines": b"",
        "in the 21st record": b"".join(lines[16:20]) + lines[20][:-9],
        "by the power": bytes(300),
    }[cut]
    (run_copy / "journal.jsonl").write_bytes(b"".join(lines[:16]) + rest)
    outcome = command("reconstruct", run_copy, "--json")
    assert outcome.code == 0
    points = taken(run_copy)
    assert points == (20 if "record" in cut else 16)
    said, inverted = json.loads(outcome.out)["results"]
    assert [said[key] for key in ("valid", "invalid", "missing")] == [points, 0, 64 - points]
    probability = np.asarray(
        zarr.open_array(run_copy / "reconstruction/network/probability/0", mode="r")
    )
    # Points 0 to 15 are rows 0 and 1 of the scan: they tell of squares up to row 3.
    assert np.isfinite(probability[:4]).all()
    assert np.isnan(probability[4 if points == 16 else 5 :]).all()
    for result in (said, inverted):
        assert np.isfinite(result["stitched"]["accuracy"])


def test_weights_that_do_not_fit(command: Command, place: Path, mask: Path) -> None:
    (place / "own.toml").write_text("name = 'own'\n[optics]\ndefocus_wavelengths = 9.0\n")
    outcome = command("acquire", "--sample", mask, "--instrument", "own.toml")
    assert (outcome.code, outcome.err) == (0, "")
    (warning,) = [line for line in outcome.out.splitlines() if "no live map" in line]
    assert "weights scan.safetensors do not fit: optics.defocus_wavelengths" in warning
    assert taken(place / "run.zarr") == 64
    before = contents(place)
    error = command("reconstruct", "run.zarr").error
    for part in ("do not fit", "expected 10.0", "got 9.0", "opticalnet train"):
        assert part in error
    assert contents(place) == before


def test_optics_that_only_a_scan_network_knows(
    command: Command, place: Path, mask: Path
) -> None:
    (place / "own.toml").write_text("name = 'own'\n[optics]\ndefocus_wavelengths = 9.4\n")
    assert command("acquire", "--sample", mask, "--instrument", "own.toml").code == 0
    with safe_open(str(shipped_weights("scan")), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known = file.metadata()
    optics = json.loads(known["optics"]) | {"defocus_wavelengths": 9.4}
    save_file(tensors, place / "own.safetensors", known | {"optics": json.dumps(optics)})
    own = ("--weights", "own.safetensors")
    said, _ = json.loads(command("reconstruct", "run.zarr", *own, "--json").out)["results"]
    assert said["frame"] is None
    assert said["stitched"]["accuracy"] > said["stitched"]["constant_accuracy"]
    error = command("reconstruct", "run.zarr", "--method", "frames").error
    assert "weights frame.safetensors do not fit" in error
