"""The command that hands networks to other programs: `opticalnet export`."""

import os
from collections.abc import Callable
from pathlib import Path

from configs.errors import ConfigError
from opticalnet.console import open_console, print_json
from reconstruction.exporting.open_model import open_model
from reconstruction.exporting.raw_models import RawModel
from simulation.datasets.drafts import check_absent, draft_beside, named

Write = Callable[[RawModel, Path], float]


def export_network(
    weights: str, out: str, grid: int | None, *, overwrite: bool, json: bool
) -> None:
    """Write a network as ONNX or as a package for bioimage.io, and say how well it agrees.

    Parameters
    ----------
    weights, grid
        As for ``open_model``.
    out
        Path of the file; its ending says which of the two.
    overwrite
        Whether a file that is there may go.
    json
        Whether a script reads stdout.
    """
    path, console = named(out, "out"), open_console(json)
    write = _writer(path)
    if not overwrite:
        check_absent(path, "choose another --out, or add --overwrite")
    with console.status("writing and checking"):
        model = open_model(weights, grid)
        with draft_beside(path) as draft:
            difference = write(model, draft)
            os.replace(draft, path)
    facts = {"model": model.facts["model"], "largest_difference": difference}
    if json:
        print_json(out=out, weights=weights, **facts)
        return
    console.print(f"{facts['model']}: within {difference:.1g} of torch's probabilities")
    console.print(f"file: {path}", markup=False, soft_wrap=True)


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
