"""The report: what was measured, in tables and pictures, and what to know of them."""

from collections.abc import Sequence

from reconstruction.benchmarking.document import Block, Heading, Paragraph, Picture
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.published import EPOCHS, SOURCE
from reconstruction.benchmarking.tables import (
    networks_table,
    scores_table,
    sizes_table,
    squares_of_parts,
)


def report(findings: Findings) -> list[Block]:
    """Return the whole document."""
    return [
        *_introduction(findings),
        *_simulation(findings),
        *_same_part(findings),
        *_experiment(findings),
        Heading("Networks"),
        Paragraph(
            "Milliseconds a frame were measured in this run, from digital numbers to the map,"
            " line by line and on one thread as in `opticalnet reconstruct`."
        ),
        networks_table(findings),
        *_missing(findings.missing),
        *_gallery(findings),
    ]


def _introduction(findings: Findings) -> list[Block]:
    blocks: list[Block] = [
        Heading("Benchmark", 1),
        Paragraph(findings.conditions),
        Paragraph(
            "A cell is accuracy / F1 / Jaccard index / expected calibration error in percent;"
            " F1 and Jaccard index are means of both classes, as in the paper. A constant"
            " prediction calls every square closed, or open where that is better. Quoted rows"
            f" are what the paper reports ({SOURCE}) of its own simulator, noise, glyph and"
            " star."
        ),
    ]
    if any(candidate.is_short for candidate in findings.candidates):
        blocks.append(
            Paragraph(
                "Brackets mark networks that were not trained at full length, with the length"
                f" that they had; the paper trains for {EPOCHS} epochs."
            )
        )
    return blocks


def _simulation(findings: Findings) -> list[Block]:
    simulated = findings.simulated
    return [
        Heading("Simulation: whole maps"),
        Paragraph(
            "Frames are stitched by equation 4; the scan network needs no stitching. Quoted:"
            " Table 2, targets of 3 x 3 squares."
        ),
        scores_table(simulated, lambda result: result.stitched, quoted=True),
        *_part_note(findings),
        Heading("Simulation: whole maps, pooled"),
        Paragraph("The same frames, each counted by what it knows of a square."),
        scores_table(simulated, lambda result: result.pooled, quoted=False),
        Heading("Simulation: single frames"),
        Paragraph("All squares that every single frame tells of."),
        scores_table(simulated, lambda result: result.frame, quoted=False),
        Heading("Size of the target"),
        Paragraph(
            "Accuracy of whole maps in percent. Quoted: Table 3, on measured frames, which are"
            " harder than simulated ones."
        ),
        sizes_table(simulated),
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


def _same_part(findings: Findings) -> list[Block]:
    """Compare everybody on the squares that the slow networks were shown."""
    shown = squares_of_parts(findings.simulated)
    if not shown:
        return []
    there = [r for r in findings.simulated if (r.group, r.seed) in shown]
    fewest = min(int(squares.sum()) for squares in shown.values())
    return [
        Heading("Simulation: the same part for everybody"),
        Paragraph(
            "Maps again, on those squares alone that the slow networks were shown in full,"
            f" {fewest} of one scan of each."
        ),
        scores_table(there, lambda r: r.within(shown[r.group, r.seed]), quoted=False),
    ]


def _experiment(findings: Findings) -> list[Block]:
    if not findings.measured:
        return []
    left_out = "; ".join(findings.left_out)
    return [
        Heading("Folders"),
        Paragraph(
            "Images in the layout of the paper's authors. Their levels do not say what an open"
            " sample gives: networks that were trained on light take white for it, and know"
            " nothing of that instrument."
        ),
        *([Paragraph(f"No network reads {left_out}.")] if left_out else []),
        Paragraph("Whole maps:"),
        scores_table(findings.measured, lambda result: result.stitched, quoted=False),
        Paragraph("Single frames:"),
        scores_table(findings.measured, lambda result: result.frame, quoted=False),
    ]


def _missing(names: Sequence[str]) -> list[Block]:
    if not names:
        return []
    named = ", ".join(f"`{name}`" for name in names)
    return [
        Heading("Not evaluated"),
        Paragraph(
            f"No weights were given of {named}. On a GPU, `opticalnet simulate --preset paper"
            " --out set.zarr` and then, for each NAME of these, `opticalnet train --model NAME"
            " --recipe paper --data set.zarr --out NAME` train them; name"
            " their weights to the benchmark: `opticalnet benchmark NAME/weights.safetensors`."
        ),
    ]


def _gallery(findings: Findings) -> list[Block]:
    pictures = [Picture(name, shows) for name, shows in findings.pictures.items()]
    return [Heading("Maps, errors and reliability"), *pictures] if pictures else []
