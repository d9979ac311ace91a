"""A network for other programs in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.drafts import check_absent, in_place, named
from configs.errors import ConfigError
from reconstruction.exporting.open_model import open_model
from reconstruction.exporting.raw_models import RawModel

Write = Callable[[RawModel, Path], float]


@dataclass(frozen=True, slots=True)
class Export:
    """A network that was written.

    Attributes
    ----------
    path
        The file.
    model
        What it holds.
    largest_difference
        Between its probabilities and torch's, over simulated scans.
    """

    path: Path
    model: str
    largest_difference: float


def export(
    weights: str | Path,
    out: str | Path,
    *,
    grid: int | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a network as ONNX or as a package for bioimage.io, and check it there.

    Parameters
    ----------
    weights
        ``frame``, ``scan``, or the path of a weights file.
    out
        NAME.onnx, or NAME.zip for a package.
    grid
        Squares along a side that a frame tells of, 7 if None; of the frame network only.
    overwrite
        Whether a file that is there may go.

    Raises
    ------
    ConfigError
        If the file's ending is neither, or what an export needs is not installed.
    ReconstructionError
        If the weights cannot be read, or the other program says something else.
    RunStoreError
        If the file is there already, or cannot be written.
    """
    path = named(out, "out")
    write = _writer(path)
    if not overwrite:
        check_absent(path, "choose another --out, or add --overwrite")
    model = open_model(str(weights), grid)
    with in_place(path) as draft:
        difference = write(model, draft)
    return Export(path, model.facts["model"], difference)


def _writer(path: Path) -> Write:
    if path.suffix not in {".onnx", ".zip"}:
        raise ConfigError(
            f"out: expected NAME.onnx, or NAME.zip for bioimage.io, got {path.name!r}; choose"
            " one of them"
        )
    try:
        if path.suffix == ".zip":
            from reconstruction.exporting.bioimage_package import write_package

            return write_package
        from reconstruction.exporting.onnx_file import write_onnx

        return write_onnx
    except ImportError as error:
        raise ConfigError(
            f"export: expected {error.name}, it is not installed; install opticalnet with its"
            " extra [export]"
        ) from error
