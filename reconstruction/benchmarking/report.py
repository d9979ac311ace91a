"""The report: tables of what was measured, beside what the paper says."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np

from reconstruction.benchmarking.contenders import PAPER_EPOCHS, Contender
from reconstruction.benchmarking.document import Block, Heading, Paragraph, Picture, Row, Table
from reconstruction.benchmarking.examination import Result, Verdict
from reconstruction.benchmarking.published import EXPERIMENT, SIMULATION, SOURCE

_NONE: Final = "-"
Judge = Callable[[Result], Verdict | None]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a benchmark found.

    Attributes
    ----------
    simulated, measured
        Results on simulated scans, and on folders.
    missing
        Baselines that nobody brought.
    part
        Points along a side of what slow networks were shown.
    conditions
        On what, and with what, it ran, in a sentence.
    pictures
        Names of files, and what they show.
    """

    simulated: Sequence[Result]
    measured: Sequence[Result]
    missing: Sequence[str]
    part: int
    conditions: str
    pictures: Mapping[str, str]

    @property
    def contenders(self) -> list[Contender]:
        """Who was seen, in order."""
        results = [*self.simulated, *self.measured]
        return list({result.contender.label: result.contender for result in results}.values())


def report(findings: Findings) -> list[Block]:
    """Return the whole document."""
    simulated = findings.simulated
    return [
        Heading("Benchmark", 1),
        Paragraph(findings.conditions),
        Paragraph(
            "A cell is accuracy / F1 / Jaccard index / expected calibration error in percent;"
            " F1 and Jaccard index are means of both classes, as in the paper. A constant"
            " prediction calls every square closed, or open where that is better. Quoted rows"
            f" are what the paper reports ({SOURCE}) of its own simulator, noise, glyph and"
            " star."
        ),
        *_training_note(findings),
        Heading("Simulation: whole maps"),
        Paragraph(
            "Frames are stitched by equation 4; the scan network needs no stitching. Quoted:"
            " Table 2, targets of 3 x 3 squares."
        ),
        _scores_table(simulated, _stitched, quoted=True),
        *_part_note(findings),
        Heading("Simulation: single frames"),
        Paragraph("All squares that every single frame tells of."),
        _scores_table(simulated, _frame, quoted=False),
        *_same_part(findings),
        *_by_target(findings),
        *_experiment(findings),
        Heading("Networks"),
        Paragraph(
            "Milliseconds a frame were measured in this run, from digital numbers to the map,"
            " in batches of 66."
        ),
        _networks(findings),
        *_missing(findings),
        *_gallery(findings),
    ]


def table_rows(findings: Findings) -> list[dict[str, Any]]:
    """Return one row a network, sample and way of looking, and those of the paper."""
    rows = [
        row
        for source, results in (
            ("simulated", findings.simulated),
            ("folders", findings.measured),
        )
        for result in results
        for row in _result_rows(source, result, _speeds(findings))
    ]
    return rows + list(_quoted_rows(list(rows[0])))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with their names above."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _result_rows(
    source: str, result: Result, speeds: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    contender = result.contender
    for what, verdict in (("frame", result.frame), ("map", result.stitched)):
        if verdict is not None:
            yield {
                "source": source,
                "network": contender.label,
                "grid": contender.grid or "",
                "training": contender.length,
                "sample": result.group,
                "seed": result.seed if result.seed >= 0 else "",
                "of": what,
                **verdict.scores.as_dict(),
                "calibration_error": verdict.reliability.error,
                "squares": int(verdict.reliability.count.sum()),
                "frames": result.frames,
                "parameters": contender.parameters,
                "ms_per_frame": speeds[contender.label],
            }


def _quoted_rows(columns: list[str]) -> Iterator[dict[str, Any]]:
    nothing = dict.fromkeys(columns, "")
    for name, groups in SIMULATION.items():
        for group, (accuracy, f1, jaccard) in groups.items():
            scores = {"accuracy": accuracy, "f1": f1, "jaccard": jaccard}
            fractions = {key: round(value / 100, 4) for key, value in scores.items()}
            whose = {"source": f"{SOURCE}, Table 2", "network": name, "grid": 3}
            yield nothing | whose | {"sample": group} | fractions
    for grid, accuracies in EXPERIMENT.items():
        for group, accuracy in accuracies.items():
            whose = {"source": f"{SOURCE}, Table 3", "network": "Transformer", "grid": grid}
            yield nothing | whose | {"sample": group, "accuracy": round(accuracy / 100, 4)}


def _stitched(result: Result) -> Verdict:
    return result.stitched


def _frame(result: Result) -> Verdict | None:
    return result.frame


def _scores_table(results: Sequence[Result], judge: Judge, *, quoted: bool) -> Table:
    """Return networks by groups of samples, the constant prediction, and quoted rows."""
    groups = _groups(results)
    rows = []
    for contender in _contenders(results):
        chosen = [result for result in results if result.contender is contender]
        cells = [_cell([r for r in chosen if r.group == group], judge) for group in groups]
        if any(cell != _NONE for cell in cells):
            rows.append(Row([contender.marked, *cells]))
    rows += _constants(results, judge, groups)
    if quoted:
        for name, scores in SIMULATION.items():
            cells = [_percents(scores[g]) if g in scores else _NONE for g in groups]
            rows.append(Row([f"quoted: {name}", *cells], "quoted"))
    return Table(["", *groups], rows)


def _cell(results: Sequence[Result], judge: Judge) -> str:
    verdicts = [verdict for result in results if (verdict := judge(result)) is not None]
    if not verdicts:
        return _NONE
    scores = [verdict.scores for verdict in verdicts]
    pooled = reduce(add, (verdict.reliability for verdict in verdicts))
    values = [
        mean(getattr(one, name) for one in scores) for name in ("accuracy", "f1", "jaccard")
    ]
    star = " †" if any(result.is_part for result in results) else ""
    return _percents([100 * value for value in (*values, pooled.error)]) + star


def _percents(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _constants(results: Sequence[Result], judge: Judge, groups: Sequence[str]) -> list[Row]:
    """Return what the constant prediction gets on the squares of each size of target."""
    whole = [result for result in results if not result.is_part]
    rows: dict[tuple[str, ...], list[int]] = {}
    for grid in dict.fromkeys(result.contender.grid for result in whole):
        there = [r for r in whole if r.contender.grid == grid]
        cells = tuple(_constant([r for r in there if r.group == g], judge) for g in groups)
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


def _constant(results: Sequence[Result], judge: Judge) -> str:
    accuracies = [
        verdict.scores.constant_accuracy
        for result in results
        if (verdict := judge(result)) is not None
    ]
    if not accuracies:
        return _NONE
    # It finds all of one class and nothing of the other.
    scores = ((a, a / (1 + a), a / 2) for a in accuracies)
    return _percents([100 * mean(values) for values in zip(*scores, strict=True)])


def _same_part(findings: Findings) -> list[Block]:
    """Compare everybody on the squares that the slow networks were shown."""
    slow = [result for result in findings.simulated if result.is_part]
    if not slow:
        return []
    shown = {
        (r.group, r.seed): np.logical_and.reduce(
            [s.known for s in slow if (s.group, s.seed) == (r.group, r.seed)]
        )
        for r in slow
    }
    there = [r for r in findings.simulated if (r.group, r.seed) in shown]
    return [
        Heading("Simulation: the same part for everybody"),
        Paragraph(
            "Maps again, on those squares alone that the slow networks were shown in full,"
            f" {min(int(squares.sum()) for squares in shown.values())} of one scan of each."
        ),
        _scores_table(there, lambda r: r.within(shown[r.group, r.seed]), quoted=False),
    ]


def _by_target(findings: Findings) -> list[Block]:
    """Accuracy by the side of the target, beside the paper's experiment."""
    groups = [group for group in EXPERIMENT[3] if group in _groups(findings.simulated)]
    rows = []
    for contender in _contenders(findings.simulated):
        cells = []
        for group in groups:
            chosen = [
                r
                for r in findings.simulated
                if r.contender is contender and r.group == group and not r.is_part
            ]
            accuracies = [100 * r.stitched.scores.accuracy for r in chosen]
            cells.append(f"{mean(accuracies):.1f}" if accuracies else _NONE)
        if contender.grid and any(cell != _NONE for cell in cells):
            rows.append(Row([f"{contender.marked}, simulation", *cells]))
    for grid, accuracy in EXPERIMENT.items():
        cells = [f"{accuracy[group]:.1f}" for group in groups]
        rows.append(
            Row([f"quoted: Transformer, {grid} x {grid}, experiment", *cells], "quoted")
        )
    return [
        Heading("Size of the target"),
        Paragraph(
            "Accuracy of whole maps in percent. Quoted: Table 3, on measured frames, which are"
            " harder than simulated ones."
        ),
        Table(["", *groups], rows),
    ]


def _experiment(findings: Findings) -> list[Block]:
    if not findings.measured:
        return []
    blocks: list[Block] = [
        Heading("Folders"),
        Paragraph(
            "Images in the layout of the paper's authors. Their levels do not say what an open"
            " sample gives: networks that were trained on light take white for it, and know"
            " nothing of that instrument."
        ),
    ]
    for title, judge in (("Whole maps:", _stitched), ("Single frames:", _frame)):
        blocks += [Paragraph(title), _scores_table(findings.measured, judge, quoted=False)]
    return blocks


def _networks(findings: Findings) -> Table:
    speeds = _speeds(findings)
    rows = [
        Row(
            [
                contender.label,
                f"{contender.parameters:,}",
                f"{speeds[contender.label]:.3g}",
                contender.length,
                contender.data,
            ]
        )
        for contender in findings.contenders
    ]
    return Table(["", "parameters", "ms a frame", "trained for", "on"], rows)


def _speeds(findings: Findings) -> dict[str, float]:
    """Milliseconds a frame of every network."""
    speeds = {}
    for contender in findings.contenders:
        results = [
            r
            for r in (*findings.simulated, *findings.measured)
            if r.contender.label == contender.label
        ]
        frames = sum(result.frames for result in results)
        speeds[contender.label] = 1000 * sum(result.seconds for result in results) / frames
    return speeds


def _training_note(findings: Findings) -> list[Block]:
    if not any(contender.is_short for contender in findings.contenders):
        return []
    return [
        Paragraph(
            "Brackets mark networks that were not trained at full length, with the length that"
            f" they had; the paper trains for {PAPER_EPOCHS} epochs."
        )
    ]


def _part_note(findings: Findings) -> list[Block]:
    if not any(result.is_part for result in findings.simulated):
        return []
    return [
        Paragraph(
            f"† On {findings.part} x {findings.part} points of one scan of each kind,"
            " beside its middle, as this network is slow. Other squares, other numbers: below"
            " is the same part for everybody."
        )
    ]


def _missing(findings: Findings) -> list[Block]:
    if not findings.missing:
        return []
    names = ", ".join(f"`{name}`" for name in findings.missing)
    return [
        Heading("Not evaluated"),
        Paragraph(
            f"No weights were given of {names}. On a GPU, `opticalnet simulate --preset paper"
            " --out set.zarr` and then, for each NAME of these, `opticalnet train --model NAME"
            " --recipe paper --data set.zarr --out NAME` train them; add"
            " `--models NAME/weights.safetensors` to the benchmark."
        ),
    ]


def _gallery(findings: Findings) -> list[Block]:
    pictures = [Picture(name, shows) for name, shows in findings.pictures.items()]
    return [Heading("Maps, errors and reliability"), *pictures] if pictures else []


def _groups(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.group for result in results))


def _contenders(results: Sequence[Result]) -> list[Contender]:
    return list({result.contender.label: result.contender for result in results}.values())
