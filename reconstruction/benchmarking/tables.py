"""Tables of what was measured, beside what the paper says."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from statistics import mean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reconstruction.benchmarking.document import Row, Table
from reconstruction.benchmarking.evaluation import (
    Quality,
    Result,
    candidates_of,
    groups_of,
    mean_accuracy,
)
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.published import EXPERIMENT, SIMULATION

_NONE: Final = "-"
Aspect = Callable[[Result], Quality | None]
"""What of a result a table is about."""
ScanKey = tuple[str, int | None]
"""Group and seed."""


def scores_table(results: Sequence[Result], aspect: Aspect, *, quoted: bool) -> Table:
    """Return networks by groups of samples, the constant prediction, and quoted rows."""
    groups = groups_of(results)
    rows = []
    for candidate in candidates_of(results):
        own = [result for result in results if result.candidate is candidate]
        cells = [_cell([r for r in own if r.group == group], aspect) for group in groups]
        if any(cell != _NONE for cell in cells):
            rows.append(Row([candidate.label_with_length, *cells]))
    rows += _constants(results, aspect, groups)
    if quoted:
        for name, scores in SIMULATION.items():
            cells = [_percents(scores[g]) if g in scores else _NONE for g in groups]
            rows.append(Row([f"quoted: {name}", *cells], "quoted"))
    return Table(["", *groups], rows)


def sizes_table(results: Sequence[Result]) -> Table:
    """Return the accuracy of maps by the side of the target, beside the experiment."""
    groups = [group for group in EXPERIMENT[3] if group in groups_of(results)]
    whole = [result for result in results if not result.is_part]
    rows = []
    for candidate in candidates_of(whole):
        values = [mean_accuracy(whole, candidate, group) for group in groups]
        cells = [_NONE if value is None else f"{100 * value:.1f}" for value in values]
        if candidate.grid and any(value is not None for value in values):
            rows.append(Row([f"{candidate.label_with_length}, simulation", *cells]))
    for grid, accuracy in EXPERIMENT.items():
        cells = [f"{accuracy[group]:.1f}" for group in groups]
        whose = f"quoted: Transformer, {grid} x {grid}, experiment"
        rows.append(Row([whose, *cells], "quoted"))
    return Table(["", *groups], rows)


def networks_table(findings: Findings) -> Table:
    """Return sizes, speeds and trainings of all networks."""
    speeds = findings.ms_per_frame
    rows = [
        Row(
            [
                candidate.label,
                f"{candidate.parameters:,}",
                f"{candidate.multiplications / 1e6:,.1f}",
                f"{speeds[candidate.label]:.3g}",
                candidate.length,
                candidate.data,
            ]
        )
        for candidate in findings.candidates
    ]
    return Table(
        [
            "",
            "parameters",
            "million multiplications a frame",
            "ms a frame",
            "trained for",
            "on",
        ],
        rows,
    )


def squares_of_parts(results: Sequence[Result]) -> dict[ScanKey, NDArray[np.bool_]]:
    """Return, for scans of which some were shown a part, what all of those say."""
    parts: dict[ScanKey, list[NDArray[np.bool_]]] = {}
    for result in results:
        if result.is_part:
            parts.setdefault((result.group, result.seed), []).append(result.known)
    return {key: np.logical_and.reduce(known) for key, known in parts.items()}


def _cell(results: Sequence[Result], aspect: Aspect) -> str:
    qualities = [quality for result in results if (quality := aspect(result)) is not None]
    if not qualities:
        return _NONE
    scores = [quality.scores for quality in qualities]
    pooled = reduce(add, (quality.reliability for quality in qualities))
    values = [
        mean(getattr(one, name) for one in scores) for name in ("accuracy", "f1", "jaccard")
    ]
    star = " †" if any(result.is_part for result in results) else ""
    return _percents([100 * value for value in (*values, pooled.error)]) + star


def _percents(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _constants(results: Sequence[Result], aspect: Aspect, groups: Sequence[str]) -> list[Row]:
    """Return what the constant prediction gets on the squares of each size of target."""
    whole = [result for result in results if not result.is_part]
    rows: dict[tuple[str, ...], list[int]] = {}
    for grid in dict.fromkeys(result.candidate.grid for result in whole):
        there = [r for r in whole if r.candidate.grid == grid]
        cells = tuple(_constant([r for r in there if r.group == g], aspect) for g in groups)
        if any(cell != _NONE for cell in cells):
            rows.setdefault(cells, []).append(grid or 0)
    named = len(rows) > 1
    return [
        Row(
            [f"constant prediction{f', {grids[0]} x {grids[0]}' if named else ''}", *cells],
            "constant",
        )
        for cells, grids in rows.items()
    ]


def _constant(results: Sequence[Result], aspect: Aspect) -> str:
    accuracies = [
        quality.scores.constant_accuracy
        for result in results
        if (quality := aspect(result)) is not None
    ]
    if not accuracies:
        return _NONE
    # It finds all of one class and nothing of the other.
    scores = ((a, a / (1 + a), a / 2) for a in accuracies)
    return _percents([100 * mean(values) for values in zip(*scores, strict=True)])
