"""What the documents say is so."""

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from command_bench import SMALL_SET

import opticalnet
from configs.sample import parse_sample
from opticalnet.cli import app
from simulation.samples import make_sample

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document, language):
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.S)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.eye(6))
    (code,) = blocks(ROOT / "README.md", "python")
    exec(code.replace('"ss"', '"small.npy"'), {})
    assert "accuracy=" in capsys.readouterr().out
    assert (tmp_path / "star.png").stat().st_size > 10_000


def test_the_python_of_the_virtual_microscope_runs(tmp_path, monkeypatch, capsys):
    light, sets = blocks(ROOT / "docs" / "simulation.md", "python")
    names = {}
    exec(light, names)
    assert names["frames"].shape == (8, 2, 64, 64)
    assert 0 < names["frames"].sum(dim=(2, 3)).min() < names["frames"].sum(dim=(2, 3)).max() < 1
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text(SMALL_SET)
    opticalnet.simulate("plan.toml", tiff="small")
    exec(sets.replace('"folders"', '"small"'), {})
    train, test = capsys.readouterr().out.splitlines()
    assert train.startswith("train_valid/A1: 70 images, ")
    assert test.startswith("test/SS: 100 images, ")


def test_the_sample_of_the_documents_can_be_made():
    (text,) = blocks(ROOT / "docs" / "simulation.md", "toml")
    sample = make_sample(parse_sample(text, "docs/simulation.md"), seed=0)
    assert sample.cells_per_square == 9
    assert 0.1 < sample.coverage.mean() < 0.5


@pytest.mark.parametrize("name", ["disturbance_picture", "lens_picture", "sample_picture"])
def test_the_pictures_of_the_virtual_microscope_can_be_drawn(monkeypatch, name):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    figure = importlib.import_module(name).draw()
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert len(panels) >= 8
    assert all(panel.get_images() or panel.get_lines() for panel in panels)


def test_the_commands_of_the_documents_exist():
    lines = [
        shlex.split(line, comments=True)
        for document in DOCUMENTS
        for block in blocks(document, "(?:sh|bat)")
        for line in block.replace("\\", "/").splitlines()
    ]
    commands = [words for words in lines if words and words[0].endswith("opticalnet")]
    assert len(commands) >= 6
    runner = typer.testing.CliRunner()
    for words in commands:
        result = runner.invoke(app, [words[1], "--help"])
        assert result.exit_code == 0, words
        for option in (word for word in words if word.startswith("--")):
            assert option in result.output, words
    scripts = {w for words in lines for w in words if w.startswith("benchmarks/")}
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere_and_nothing_is_left_to_fill_in(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target
    assert not re.findall(r"\b(?:[A-Z]{4,}TABLE|SCORES|TODO|[A-Z]+(?:_[A-Z0-9]+)+)\b", text)
