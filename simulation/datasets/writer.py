"""Writing a data set: what is known of a scan at once, its frames line by line."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from configs.dataset import DatasetPlan
from configs.grid import GRIDS
from configs.software import versions
from simulation.datasets.lines import SOFTWARE
from simulation.datasets.reader import DatasetInfo, PartInfo
from simulation.datasets.scan import Scan, ScanLine
from simulation.datasets.sizes import PartSize

_POINT_ARRAYS: Final = (
    ("scan", (), "uint32"),
    ("row", (), "uint16"),
    ("column", (), "uint16"),
    ("position_um", (2,), "float64"),
    ("focus_nm", (), "float64"),
    ("power", (), "float64"),
)


_ELSEWHERE: Final = ("shapely", "zarr")


class DatasetWriter:
    """Writes a data set into a folder that is not there yet.

    Parameters
    ----------
    path
        The Zarr group.
    plan
        What it is.
    sizes
        Of its parts.
    """

    def __init__(self, path: Path, plan: DatasetPlan, sizes: list[PartSize]) -> None:
        self._plan = plan
        self._group = zarr.create_group(path, zarr_format=3)
        image_px = plan.instrument.optics.image_px
        self._parts = [
            _PartWriter(self._group.create_group(part.path), part.scans, size, image_px)
            for part, size in zip(plan.parts, sizes, strict=True)
        ]

    def add_scan(self, scan: Scan) -> None:
        """Write what is known of a scan before it is simulated."""
        self._parts[scan.part].add_scan(scan)

    def lines_kept(self, scan: Scan) -> int:
        """Return how many lines of a scan are kept, the last one perhaps in part."""
        return self._parts[scan.part].lines_kept(scan.number)

    def add_line(self, line: ScanLine, frames: NDArray[np.uint16]) -> int:
        """Write the images of a line, (points, y, x); return how many of them are kept."""
        return self._parts[line.part].add_line(line, frames)

    def finish(self) -> DatasetInfo:
        """Write what the set has become."""
        parts = tuple(
            PartInfo(
                split=plan.split,
                name=plan.name,
                scans=plan.scans,
                rows=part.size.rows,
                columns=part.size.columns,
                frames=part.size.frames,
                histogram={
                    grid: tuple(counts.tolist()) for grid, counts in part.counts.items()
                },
            )
            for plan, part in zip(self._plan.parts, self._parts, strict=True)
        )
        info = DatasetInfo(
            software=versions((*SOFTWARE, *_ELSEWHERE)), plan=self._plan, parts=parts
        )
        self._group.attrs["opticalnet"] = info.model_dump(mode="json")
        return info


class _PartWriter:
    """Writes one part; chunks are lines for frames, and scans for everything else."""

    def __init__(self, group: zarr.Group, scans: int, size: PartSize, image_px: int) -> None:
        self.size = size
        self.counts = {str(grid): np.zeros(grid**2 + 1, np.int64) for grid in GRIDS}
        self._points = size.rows * size.columns
        self._frames = _create(
            group, "frames", size.frames, (image_px, image_px), "uint16", size.columns
        )
        self._arrays = {
            name: _create(group, name, size.frames, tail, dtype, self._points)
            for name, tail, dtype in _POINT_ARRAYS
        }
        self._targets = {
            grid: _create(
                group, f"target_{grid}", size.frames, (grid, grid), "uint8", self._points
            )
            for grid in GRIDS
        }
        self._samples = {
            name: _create(group, name, scans, shape, "float64", 1)
            for name, shape in (
                ("coverage", size.sample_shape),
                ("cells", tuple(n * size.cells_per_square for n in size.sample_shape)),
            )
        }

    def add_scan(self, scan: Scan) -> None:
        first = scan.number * self._points
        kept = self._kept(first, self._points)
        span = slice(first, first + kept)
        row, column = np.divmod(np.arange(self._points), scan.columns)
        values = {
            "scan": np.full(self._points, scan.number),
            "row": row,
            "column": column,
            "position_um": scan.position_um,
            "focus_nm": scan.focus_nm,
            "power": scan.power,
        }
        for name, array in self._arrays.items():
            array[span] = values[name][:kept]
        for grid, array in self._targets.items():
            targets = scan.targets(grid)[:kept]
            array[span] = targets
            open_squares = targets.sum(axis=(1, 2), dtype=np.int64)
            self.counts[str(grid)] += np.bincount(open_squares, minlength=grid**2 + 1)
        for name, array in self._samples.items():
            array[scan.number] = getattr(scan.sample, name)

    def lines_kept(self, scan: int) -> int:
        return -(-self._kept(scan * self._points, self._points) // self.size.columns)

    def add_line(self, line: ScanLine, frames: NDArray[np.uint16]) -> int:
        first = line.scan * self._points + line.row * self.size.columns
        kept = self._kept(first, len(frames))
        self._frames[first : first + kept] = frames[:kept]
        return kept

    def _kept(self, first: int, frames: int) -> int:
        """How many of some frames lie within the part."""
        return min(frames, self.size.frames - first)


def _create(
    group: zarr.Group, name: str, length: int, tail: tuple[int, ...], dtype: str, chunk: int
) -> zarr.Array[Any]:
    """Make an array whose chunks carry a checksum, and are all there once it is written."""
    frame = ("y", "x") if name == "frames" else ("row", "column")
    axes = {0: (), 1: ("axis",), 2: frame}[len(tail)]
    first = "scan" if name in {"coverage", "cells"} else "frame"
    return group.create_array(
        name,
        shape=(length, *tail),
        chunks=(min(chunk, length), *tail),
        dtype=dtype,
        compressors=(BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()),
        dimension_names=(first, *axes),
        config={"write_empty_chunks": True},
    )
