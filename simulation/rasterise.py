"""Exact areas: what part of every cell of a grid lies inside a shape or under a picture."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Float64 = NDArray[np.float64]


def covered_area(shape: BaseGeometry, cells: int, cell_um: float) -> Float64:
    """Fraction of every cell inside a shape, exact but for rounding.

    Parameters
    ----------
    shape
        A valid polygon or several, in micrometres from the centre of the grid.
    cells
        Along a side of the grid.
    cell_um
        Side of a cell.

    Returns
    -------
    NDArray[np.float64]
        (cells, cells), row down = +y.

    Notes
    -----
    Green's theorem, cell by cell: an edge that runs by dy down covers an area dy in
    each cell right of it, and in its own cell what lies right of it there.
    """
    edges = _edges(shape) / cell_um + cells / 2
    edges = _cut(_cut(edges, 0, cells), 1, cells).clip(0, cells)  # (pieces, 2 ends, x | y)
    x, y = edges.mean(axis=1).T
    down = edges[:, 1, 1] - edges[:, 0, 1]
    row = np.minimum(y.astype(np.intp), cells - 1)
    column = x.astype(np.intp)
    width = cells + 2  # an edge on the right border has its own cell outside
    index = row * width + column
    right = np.bincount(index + 1, down * (x - column), cells * width)
    own = np.bincount(index, down * (1 - x + column), cells * width)
    area: Float64 = (own + right).reshape(cells, width).cumsum(axis=1)[:, :cells]
    # Full and empty cells are to be 1 and 0, not nearly so; rounding errors are 1e-12.
    return area.round(10).clip(0, 1)


def _edges(shape: BaseGeometry) -> Float64:
    """Directed edges of all rings, (edges, 2 ends, x | y), the inside right of those down."""
    parts = shapely.get_parts(shapely.orient_polygons(shape, exterior_cw=True))
    points, ring = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    same_ring = ring[1:] == ring[:-1]
    edges: Float64 = np.stack([points[:-1], points[1:]], axis=1)[same_ring]
    return edges


def _cut(edges: Float64, axis: int, cells: int) -> Float64:
    """Cut edges, (edges, 2, 2), where a coordinate passes a border of cells."""
    rises = edges[:, 0, axis] <= edges[:, 1, axis]
    low, high = np.where(rises[:, None, None], edges, edges[:, ::-1]).transpose(1, 0, 2)
    first = (np.floor(low[:, axis]) + 1).clip(0)
    cuts = (np.ceil(high[:, axis]).clip(None, cells + 1) - first).clip(0).astype(np.intp)
    edge = np.repeat(np.arange(len(edges)), cuts + 1)  # that a piece is cut from
    number = np.arange(len(edge)) - (np.cumsum(cuts + 1) - cuts - 1)[edge]
    border = first[edge] + number - 1 - low[edge, axis]  # before the piece, from the low end
    height = (high - low)[edge, axis]
    with np.errstate(divide="ignore", invalid="ignore"):  # edges along the borders
        begin = np.where(number == 0, 0, border / height)
        end = np.where(number == cuts[edge], 1, (border + 1) / height)
    ends = np.stack([begin, end], axis=1)[:, :, None]
    pieces = low[edge, None] + ends * (high - low)[edge, None]
    cut: Float64 = np.where(rises[edge, None, None], pieces, pieces[:, ::-1])
    return cut


def resample(picture: Float64, cells: int) -> Float64:
    """Mean of a picture over every cell of a square grid, (cells, cells).

    The picture, (rows, columns), fills the grid along its longer side and has zeros
    around it along the other.
    """
    scale = cells / max(picture.shape)
    down, across = (_overlap(pixels, cells, scale) for pixels in picture.shape)
    means: Float64 = down @ picture @ across.T
    return means.clip(0, 1)


def _overlap(pixels: int, cells: int, scale: float) -> Float64:
    """Length of every pixel, ``scale`` cells wide, in every cell, (cells, pixels)."""
    edges = (np.arange(pixels + 1) - pixels / 2) * scale + cells / 2
    left = np.arange(cells)[:, None]
    inside: Float64 = np.minimum(edges[1:], left + 1) - np.maximum(edges[:-1], left)
    return inside.clip(0)
