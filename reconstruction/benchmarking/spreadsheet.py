"""All scores as rows of a CSV file, with those of the paper."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconstruction.benchmarking.evaluation import Result
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.published import EXPERIMENT, SIMULATION, SOURCE


def table_rows(findings: Findings) -> list[dict[str, Any]]:
    """Return one row a network, sample and way of looking, and those of the paper."""
    speeds = findings.ms_per_frame
    sources = ("simulated", findings.simulated), ("folders", findings.measured)
    rows = [
        row
        for source, results in sources
        for result in results
        for row in _result_rows(source, result, speeds)
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
    candidate = result.candidate
    qualities = {"frame": result.frame, "map": result.stitched, "pooled map": result.pooled}
    for what, quality in qualities.items():
        if quality is not None:
            yield {
                "source": source,
                "network": candidate.label,
                "grid": candidate.grid or "",
                "training": candidate.length,
                "sample": result.group,
                "seed": "" if result.seed is None else result.seed,
                "of": what,
                **quality.scores.as_dict(),
                "calibration_error": quality.reliability.error,
                "squares": int(quality.reliability.count.sum()),
                "frames": result.frames,
                "parameters": candidate.parameters,
                "ms_per_frame": speeds[candidate.label],
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
