"""What the report says, and what it marks."""

import csv

import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ConfigError, ReconstructionError
from configs.optics import Optics
from reconstruction.benchmarking.candidates import open_candidates
from reconstruction.benchmarking.document import (
    Heading,
    Paragraph,
    Picture,
    Row,
    Table,
    as_html,
    as_markdown,
)
from reconstruction.benchmarking.evaluation import evaluate
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.report import report
from reconstruction.benchmarking.spreadsheet import table_rows, write_csv
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.trained import TrainedFor, TrainingFacts
from reconstruction.weights_file import shipped_weights, weights_metadata

CPU = torch.device("cpu")


@pytest.fixture
def findings(make_scan, make_candidate):
    """Of one that is right and one that is wrong, slow, and trained for too short."""
    right = make_candidate(3)
    wrong = make_candidate(3, honesty=-1.0, name="liar", epochs_done=20)
    blocks = [make_scan("Block", seed, side=12) for seed in (1, 2)]
    star = make_scan("Star", 3, side=12)
    results = [evaluate(right, scan, CPU) for scan in (*blocks, star)]
    results += [evaluate(wrong, scan, CPU, part=5) for scan in (blocks[0], star)]
    return Findings(results, [], ["transformer"], 5, "as it was", {"block.png": "maps"}, [])


def rows_of(text, title):
    """Rows of the first table of a section, by their first cell."""
    lines = text.split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return {row[0]: row[1:] for row in rows}


def test_tables(findings):
    text = as_markdown(report(findings), "pictures")
    maps = rows_of(text, "Simulation: whole maps")
    assert maps[""] == ["Block", "Star"]
    assert maps["reader, 3 x 3"][0].startswith("100.0 / 100.0 / 100.0 / ")
    liar = maps["liar, 3 x 3 [20 of 500 epochs]"]
    assert all(cell.startswith("0.0 / 0.0 / 0.0 / ") for cell in liar)
    assert all(cell.endswith(" †") for cell in liar)
    assert "† On 5 x 5 points" in text
    assert maps["quoted: Transformer"] == ["84.8 / 79.5 / 71.3", "69.4 / 62.8 / 53.2"]
    same = rows_of(text, "Simulation: the same part for everybody")
    assert same["reader, 3 x 3"][1].startswith("100.0")
    reader, liar = findings.simulated[0], findings.simulated[3]
    closed = 1 - reader.truth[liar.known].mean()
    assert same["constant prediction"][0].startswith(f"{100 * max(closed, 1 - closed):.1f} / ")
    networks = rows_of(text, "Networks")
    assert networks["liar, 3 x 3"][0] == "1"
    assert networks["liar, 3 x 3"][3:] == ["20 of 500 epochs", "nothing"]
    target = rows_of(text, "Size of the target")
    assert target["quoted: Transformer, 7 x 7, experiment"] == ["80.0", "52.7"]
    assert "--model NAME" in text.split("## Not evaluated")[1]
    assert "`transformer`" in text
    assert "![maps](pictures/block.png)" in text


def test_the_constant_prediction_stands_beside(findings):
    closed = [1 - (r.truth > 0).mean() for r in findings.simulated[:3]]
    maps = rows_of(as_markdown(report(findings), "p"), "Simulation: whole maps")
    block = sum(closed[:2]) / 2
    f1 = sum(a / (1 + a) for a in closed[:2]) / 2
    expected = f"{100 * block:.1f} / {100 * f1:.1f} / {50 * block:.1f}"
    assert maps["constant prediction"][0] == expected
    assert maps["constant prediction"][1].startswith(f"{100 * closed[2]:.1f} / ")


def test_rows_for_a_spreadsheet(findings, tmp_path):
    write_csv(tmp_path / "t.csv", table_rows(findings))
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = [row for row in rows if row["source"] == "simulated"]
    assert len(own) == 3 * 5  # frames, map and pooled map of each
    assert {row["training"] for row in own} == {"not stated", "20 of 500 epochs"}
    quoted = [row for row in rows if row["source"].startswith("OpticalNet, CVPR 2025")]
    assert len(quoted) == 15 + 9
    star = {row["network"]: row for row in quoted if row["sample"] == "Star"}
    assert (star["ResNet-18"]["accuracy"], star["ResNet-18"]["seed"]) == ("0.6919", "")


def test_pages_are_whole_and_escaped(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    blocks = [
        Heading("A < B", 1),
        Paragraph("say `x < y`"),
        Table(["", "n"], [Row(["a & b", "1"], "quoted")]),
        Picture("a.png", "an A"),
    ]
    page = as_html(blocks, tmp_path)
    assert "<title>A &lt; B</title>" in page
    assert "<p>say <code>x &lt; y</code></p>" in page
    assert '<tr class="quoted"><td>a &amp; b</td><td>1</td></tr>' in page
    assert 'alt="an A" src="data:image/png;base64,iVBORw=="' in page
    assert as_markdown(blocks, "p").splitlines()[4:7] == [
        "|  | n |",
        "| --- | ---: |",
        "| a & b | 1 |",
    ]


def test_a_frame_takes_as_many_multiplications_as_there_are_weights() -> None:
    for candidate in open_candidates([]):
        weights = sum(p.numel() for p in candidate.network.parameters() if p.ndim > 1)
        assert candidate.multiplications == weights


def test_networks_that_ship_always_take_part():
    labels = [candidate.label for candidate in open_candidates([])]
    assert labels == ["scan network", *(f"frame network, {g} x {g}" for g in (3, 5, 7))]


def test_another_file_of_the_same_network_is_told_apart(tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(shipped_weights("scan").read_bytes())
    *_, last = open_candidates([copy])
    assert last.label == f"scan network ({copy})"
    with pytest.raises(ConfigError, match="once, got it 2 times"):
        open_candidates([copy, copy])


def test_another_window_is_refused():
    for candidate in open_candidates([]):
        candidate.check(Optics())
        with pytest.raises(ReconstructionError, match=r"optics\.roi_px expected 256, got 128"):
            candidate.check(Optics(roi_px=128))


@pytest.mark.parametrize(
    ("facts", "length", "is_short"),
    [
        ({}, "not stated", False),
        ({"epochs_done": 500}, "500 of 500 epochs", False),
        ({"epochs_done": 20}, "20 of 500 epochs", True),
        (
            {"epochs_done": 20, "epochs_planned": 20},
            "20 of 20 epochs, 4.0% of a full training",
            True,
        ),
        (
            {"epochs_done": 500, "steps_per_epoch": 1, "batch": 16},
            "500 of 500 epochs, 1.6% of a full training",
            True,
        ),
        ({"epochs_done": 500, "steps_per_epoch": 50, "batch": 20}, "500 of 500 epochs", False),
        (
            {"epochs_done": 32, "epochs_planned": 32, "steps_per_epoch": 625, "batch": 25},
            "32 of 32 epochs",
            False,
        ),
    ],
)
def test_the_length_of_a_training_is_what_it_has_seen(make_candidate, facts, length, is_short):
    candidate = make_candidate(**facts)
    assert (candidate.length, candidate.is_short) == (length, is_short)
    marked = f"reader, 3 x 3 [{length}]" if is_short else "reader, 3 x 3"
    assert candidate.label_with_length == marked


def save_network(path, model, start=None, **facts):
    """Write a small network with new weights."""
    architecture, make = {
        "scan": (ScanArchitecture(components=8, width=8, blocks=1), ScanNetwork),
        "frame": (FrameArchitecture(components=8, width=8, blocks=1), FrameNetwork),
    }[model]
    trained_for = TrainedFor(optics=Optics(), tolerance={}, pitch_nm=180.0)
    metadata = weights_metadata(model, architecture, trained_for, start)
    training = TrainingFacts(epoch=1, seed=0, software={}, validation={}, **facts)
    metadata["training"] = training.model_dump_json()
    save_file(make(architecture).state_dict(), path, metadata)


@pytest.mark.parametrize("model", ["scan", "frame"])
def test_a_network_that_was_trained_for_less_than_those_that_ship_is_marked(tmp_path, model):
    short = {"epochs_done": 2, "epochs_planned": 2, "steps_per_epoch": 10, "batch": 4}
    save_network(tmp_path / "short", model, **short)
    *_, last = open_candidates([tmp_path / "short"])
    assert last.is_short
    assert last.length.startswith("2 of 2 epochs, 0.")


def test_a_network_that_was_tuned_is_as_long_trained_as_was_planned(tmp_path):
    facts = {"epochs_planned": 3, "steps_per_epoch": 10, "batch": 4}
    save_network(tmp_path / "tuned", "scan", "another", epochs_done=3, **facts)
    save_network(tmp_path / "stopped", "scan", "another", epochs_done=2, **facts)
    tuned, stopped = open_candidates([tmp_path / "tuned", tmp_path / "stopped"])[-2:]
    assert (tuned.is_short, tuned.data) == (False, "shapes of its own, from another")
    assert (stopped.is_short, stopped.length) == (True, "2 of 3 epochs")
