"""Bad input: one clear line, exit code 1, nothing half-written, every device closed."""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial
import torch
import zarr
from command_bench import PATIENCE_S, Command, Start, save_mask, taken
from command_bench import device_threads as threads
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import opticalnet
from acquisition.frame import Frame
from acquisition.observer import SilentObserver
from acquisition.store import Run
from configs.instrument import Travel
from drivers.clock import WallClock
from reconstruction.weights_file import shipped_weights
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.serial_line import SerialLine

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")


@pytest.fixture(autouse=True)
def _devices_are_closed() -> Iterator[None]:
    """Whatever fails, no thread of a device and no end of a serial line stays open."""
    before = threads(), serial_ends()
    yield
    assert (threads(), serial_ends()) == before


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def serial_ends() -> int:
    """Pseudo-terminal ends that this process holds; 0 where that cannot be known."""
    own = Path("/proc/self/fd")
    if not own.exists():
        return 0
    targets = [os.readlink(link) for link in own.iterdir() if link.is_symlink()]
    return sum(target.startswith(("/dev/ptmx", "/dev/pts")) for target in targets)


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_refused(command: Command, place: Path, arguments: list[object], *said: str) -> None:
    """Run a command that must fail, say all this in one line, and leave nothing behind."""
    before = contents(place)
    outcome = command(*arguments)
    for part in said:
        assert part in outcome.error
    assert outcome.out == ""
    assert contents(place) == before
    assert not (place / "run.zarr").exists()


def write_png(path: Path, content: bytes) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def write_pixels(path: Path, side: int) -> None:
    Image.new("L", (side, side)).save(path)


def claim_huge(path: Path) -> None:
    """A header that promises 8 terabytes."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1_000_000, 1_000_000)}
        )


Writer = Callable[[Path], object]
READABLE = "expected a readable PNG or NPY mask"
FRACTIONS = "expected open fractions between 0 and 1"
MASKS: dict[str, tuple[str, Writer, tuple[str, ...]]] = {
    "missing": ("mask.npy", lambda _: None, ("no such file", "give the path of a mask")),
    "a folder": ("mask.npy", Path.mkdir, (READABLE, "directory")),
    "empty": ("mask.npy", Path.touch, (READABLE,)),
    "corrupt": ("mask.npy", lambda path: path.write_bytes(b"nonsense"), (READABLE,)),
    "corrupt picture": ("mask.png", lambda path: write_png(path, b"?"), (READABLE,)),
    "huge": ("mask.npy", claim_huge, (READABLE,)),
    "huge picture": ("mask.png", lambda path: write_pixels(path, 14_000), (READABLE,)),
    "words": (
        "mask.npy",
        lambda path: np.save(path, np.array([["open"]])),
        ("expected numbers", "got <U4"),
    ),
    "pickle": (
        "mask.npy",
        lambda path: np.save(path, np.array([[{}]], object), allow_pickle=True),
        (READABLE,),
    ),
    "NaN": ("mask.npy", lambda path: np.save(path, np.full((6, 6), np.nan)), (FRACTIONS,)),
    "one NaN": ("mask.npy", lambda path: np.save(path, [[0, 1], [np.nan, 0]]), (FRACTIONS,)),
    "grey levels": (
        "mask.npy",
        lambda path: np.save(path, np.array([[0, 255]], np.uint8)),
        (FRACTIONS, "got 0 to 255"),
    ),
    "negative": (
        "mask.npy",
        lambda path: np.save(path, [[-0.5, 1.0]]),
        (FRACTIONS, "got -0.5 to 1"),
    ),
    "3-D": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((2, 3, 4))),
        ("expected an array (rows, columns)", "(2, 3, 4)"),
    ),
    "no squares": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((0, 4))),
        ("expected an array (rows, columns)", "(0, 4)"),
    ),
    "complex": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((4, 4), complex)),
        ("expected numbers", "got complex128"),
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_bad_masks(command: Command, place: Path, kind: str) -> None:
    name, write, said = MASKS[kind]
    write(place / name)
    check_refused(command, place, ["acquire", "--sample", name], name, *said)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is unreadable here"
)
def test_an_unreadable_mask(command: Command, place: Path) -> None:
    path = save_mask(place / "mask.npy", "#.")
    path.chmod(0)
    try:
        outcome = command("acquire", "--sample", path)
    finally:
        path.chmod(0o600)
    assert READABLE in outcome.error


VALUES: dict[str, tuple[list[object], tuple[str, ...]]] = {
    "sample": (
        ["--sample", "star"],
        ("expected ss, light, block, grating, qr, or the path of a .png or .npy", "got 'star'"),
    ),
    "grid": (["--grid", 4], ("expected 3, 5 or 7", "got 4")),
    "seed": (["--seed", -1], ("seed: expected", "0", "got -1")),
    "seed of block": (["--sample", "block", "--seed", -1], ("seed: expected", "got -1")),
    "seed too large": (["--seed", 1 << 63], ("seed: expected", "9223372036854775808")),
    "density": (
        ["--sample", "block", "--density", 2],
        ("density: expected a fraction between 0 and 1", "got 2"),
    ),
    "density NaN": (["--sample", "block", "--density", "nan"], ("between 0 and 1", "got nan")),
    "density of a star": (
        ["--sample", "ss", "--density", 0.35],
        ("density: expected none with sample 'ss', got 0.35", "leave it out, or take block"),
    ),
    "exposure NaN": (["--exposure-ms", "nan"], ("exposure_ms", "finite number", "got nan")),
    "exposure 0": (["--exposure-ms", 0], ("exposure_ms", "greater than 0", "got 0")),
    "misfit": (["--max-chi-squared", 0], ("max_chi_squared", "greater than 0", "got 0")),
    "device": (["--device", "foo"], ("expected auto, cpu or cuda", "got 'foo'")),
    "instrument": (
        ["--instrument", "nope"],
        ("expected one of lab-example, micromanager-demo, simulated", "got 'nope'"),
    ),
    "instrument file": (
        ["--instrument", "nope.toml"],
        ("cannot read nope.toml", "check the path"),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_bad_values(command: Command, place: Path, mask: Path, name: str) -> None:
    arguments, said = VALUES[name]
    if "--sample" not in arguments:
        arguments = [*arguments, "--sample", mask]
    check_refused(command, place, ["acquire", *arguments], *said)
    check_refused(command, place, ["acquire", "--dry-run", *arguments], *said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("what", ["acquire", "reconstruct"])
def test_no_gpu(command: Command, place: Path, mask: Path, run_copy: Path, what: str) -> None:
    arguments = {"acquire": ["--sample", mask], "reconstruct": [run_copy]}[what]
    before = contents(run_copy)
    said = "expected a CUDA GPU", "torch sees none", "use --device cpu"
    check_refused(command, place, [what, *arguments, "--device", "cuda"], *said)
    assert contents(run_copy) == before


SETTINGS = {
    "typo": ("[camera]\nkind = 'simulated'\nexposure = 3\n", ("unknown key", "exposure")),
    "unknown section": ("[optic]\nbinning = 4\n", ("unknown key optic", "spelling")),
    "unit": ("[optics]\nwavelength_nm = '633 nm'\n", ("optics.wavelength_nm", "'633 nm'")),
    "type": ("[optics]\nbinning = 4.5\n", ("optics.binning", "integer", "got 4.5")),
    "range": ("[optics]\nwavelength_nm = -1.0\n", ("optics.wavelength_nm", "got -1.0")),
    "no TOML": ("[optics\n", ("expected valid TOML",)),
    "half real": (
        "[stage]\nkind = 'gcs'\nport = 'COM3'\n",
        ("a simulated camera needs a simulated stage", "got a real one"),
    ),
    "tight": (
        "[travel]\nx_um = [99.0, 100.0]\n",
        ("plan: x from 98.87 to 100.13 um", "99 to 100 um", "nothing moved", "scan less"),
    ),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_bad_settings(command: Command, place: Path, mask: Path, kind: str) -> None:
    text, said = SETTINGS[kind]
    (place / "own.toml").write_text(f"name = 'own'\n{text}")
    source = "plan" if kind == "tight" else "own.toml"
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    check_refused(command, place, arguments, source, *said)


def write_instrument(
    place: Path, *, port: str = "simulated", library: str = "DemoCamera", device: str = "DCam"
) -> None:
    """Settings of a camera that is not simulated by us, and a stage on a serial line."""
    (place / "own.toml").write_text(
        f"name = 'own'\n[camera]\nkind = 'micromanager'\nlibrary = '{library}'\n"
        f"device = '{device}'\n"
        "[camera.properties]\nPixelType = '16bit'\nBitDepth = '16'\n"
        + ("Mode = 'Noise'\n" if device == "DCam" else "")
        + f"[stage]\nkind = 'gcs'\nport = '{port}'\n"
    )


def check_free(port: str) -> None:
    """Open a port as its only user, which fails while anybody else has it open."""
    own = {} if "://" in port else {"exclusive": True}
    serial.serial_for_url(port, **own).close()


def test_a_missing_serial_port(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, port="/dev/no-such-port")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected a serial port '/dev/no-such-port'", "ports present", "correct port"
    check_refused(command, place, arguments, *said)


def test_an_absent_adapter(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, library="NoSuchLibrary")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected one of", "DemoCamera", "got 'NoSuchLibrary'", "install"
    check_refused(command, place, arguments, *said)


def test_an_absent_device_of_an_adapter(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, device="NoSuchCamera")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected one of", "DCam", "got 'NoSuchCamera'", "correct it"
    check_refused(command, place, arguments, *said)


def test_the_wrong_generation_of_controller(command: Command, place: Path, mask: Path) -> None:
    with SerialLine(GcsController(VirtualClock(), Travel(), generation=1)) as line:
        write_instrument(place, port=line.port)
        arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
        said = "expected a controller with GCS 2.0", "E-516", "through Micro-Manager"
        check_refused(command, place, arguments, *said)
        check_free(line.port)


def test_a_stage_is_closed_when_its_camera_is_absent(
    command: Command, place: Path, mask: Path
) -> None:
    with SerialLine(GcsController(VirtualClock(), Travel())) as line:
        write_instrument(place, port=line.port, library="NoSuchLibrary")
        arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
        check_refused(command, place, arguments, "NoSuchLibrary")
        check_free(line.port)


@pytest.mark.parametrize("what", ["run", "folder", "file"])
def test_an_existing_output(
    command: Command, tmp_path: Path, mask: Path, run_copy: Path, what: str
) -> None:
    out = {"run": run_copy, "folder": tmp_path / "folder", "file": tmp_path / "file"}[what]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for rehearsal in ([], ["--dry-run"]):
        outcome = command("acquire", "--sample", mask, "--out", out, *rehearsal)
        assert f"{out} exists already; choose another --out or remove it" in outcome.error
        assert contents(tmp_path) == before


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A place where nothing can be made, also not by root."""
    if sys.platform == "win32" or os.geteuid() == 0:
        (folder / "file").touch()
        yield folder / "file"
    else:
        folder.chmod(0o500)
        try:
            yield folder
        finally:
            folder.chmod(0o700)


def test_a_read_only_place(command: Command, place: Path, mask: Path) -> None:
    with read_only(place) as where:
        before = contents(place)
        outcome = command("acquire", "--sample", mask, "--out", where / "run.zarr")
        assert f"cannot create run {where / 'run.zarr'}" in outcome.error
        assert "choose another --out" in outcome.error
        assert contents(place) == before


def test_a_name_too_long(command: Command, place: Path, mask: Path) -> None:
    out = f"{'x' * 300}.zarr"
    said = "run.zarr"[3:], "choose another --out"
    check_refused(command, place, ["acquire", "--sample", mask, "--out", out], *said)


@ON_LINUX
def test_a_full_disk(command: Command, place: Path, mask: Path) -> None:
    arguments = ["acquire", "--sample", mask, "--out", "/proc/run.zarr"]
    said = "disk too small for /proc/run.zarr", "expected 54 MB free", "got 0 MB", "make room"
    check_refused(command, place, arguments, *said)


def test_a_disk_too_small_for_the_scan(command: Command, place: Path) -> None:
    side = round((1.2 * shutil.disk_usage(place).free / (2 * 64 * 64)) ** 0.5)
    if side > 6000:
        pytest.skip("the disk takes any scan that this test can afford")
    np.save(place / "mask.npy", np.zeros((side, side), bool))
    (place / "own.toml").write_text(
        "name = 'own'\n[travel]\nx_um = [0.0, 2000.0]\ny_um = [0.0, 2000.0]\n"
    )
    arguments = ["acquire", "--sample", "mask.npy", "--instrument", "own.toml"]
    said = "disk too small for run.zarr", "MB free", "make room"
    check_refused(command, place, arguments, *said)


@ON_POSIX
def test_a_disk_that_refuses_the_journal(start: Start, tmp_path: Path) -> None:
    # Of all files of this scan only the journal grows beyond the limit.
    tall = save_mask(tmp_path / "tall.npy", *("#." * 60))
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "from opticalnet.cli import main; main()"
    )
    process = start(
        *("acquire", "--sample", tall, "--out", "run.zarr"),
        command=(sys.executable, "-W", "error", "-c", limited),
    )
    assert process.stdout is not None
    while "the scan goes on by itself then" not in (said := process.stdout.readline()):
        assert said, "the scan ended before it said so"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    (line,) = err.splitlines()
    assert line.startswith("error: cannot write to run.zarr: ")
    assert "everything acknowledged is safe: make room" in line
    points = taken(tmp_path / "run.zarr")
    assert 200 <= points < 122 * 3
    result = opticalnet.reconstruct(tmp_path / "run.zarr")
    assert (result.squares.count.sum(axis=1) > 0).sum() == points // 3 + 2


class _FillsTheDisk(SilentObserver):
    """Lets the disk be full from the third line of an 8 x 8 scan on, until it is told so."""

    def __init__(self, limits: tuple[int, int]) -> None:
        self._limits = limits
        self.told: list[str] = []

    def frame(self, frame: Frame) -> None:
        import resource

        if frame.point.index == 17:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, self._limits[1]))

    def warning(self, message: str) -> None:
        import resource

        self.told.append(message)
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


@ON_POSIX
def test_a_disk_that_refuses_pixels_is_waited_for(mask: Path, tmp_path: Path) -> None:
    import resource

    limits, out = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "run.zarr"
    watcher = _FillsTheDisk(limits)
    try:
        result = opticalnet.acquire(str(mask), out=out, observer=watcher)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.valid == taken(out) == 64
    first, last = watcher.told
    assert first.startswith(f"cannot write to {out}: ")
    assert first.endswith("make room; the scan goes on by itself then")
    assert last == "the disk takes frames again"


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


def test_a_result_that_cannot_be_written(command: Command, run_copy: Path) -> None:
    (run_copy / "reconstruction").write_text("in the way")
    before = contents(run_copy.parent)
    error = command("reconstruct", run_copy).error
    assert f"cannot write {run_copy}" in error
    assert contents(run_copy.parent) == before


def test_a_picture_that_cannot_be_written(command: Command, run_copy: Path) -> None:
    picture = run_copy.with_name("run.network.png")
    picture.mkdir()
    outcome = command("reconstruct", run_copy)
    assert f"cannot write {picture}" in outcome.error
    assert Run(run_copy).points().valid.all()
    assert (run_copy / "reconstruction" / "network" / "probability").is_dir()


def test_a_line_that_dies_in_mid_scan(place: Path, mask: Path) -> None:
    class HangsUp(SilentObserver):
        def frame(self, frame: Frame) -> None:
            if frame.point.index == 11:
                line.close()

    with SerialLine(GcsController(WallClock(), Travel())) as line:
        write_instrument(place, port=line.port)
        with pytest.raises(
            opticalnet.OpticalNetError,
            match=r"expected at most 5\.0% of the points to be invalid",
        ):
            opticalnet.acquire(
                str(mask), instrument="own.toml", exposure_ms=1, observer=HangsUp()
            )
    run = Run(place / "run.zarr")
    assert np.array_equal(np.flatnonzero(run.points().valid), np.arange(12))
