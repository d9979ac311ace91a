"""Peers in environments of their own: install, run, read what they say."""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

PEERS = {
    "torchoptics": "torchoptics==1.0.2",
    "diffractsim": "diffractsim==2.2.13",
    "waveprop": "waveprop==0.0.12",
}
_HERE = Path(__file__).parent
_CONSTRAINTS = _HERE.parents[1] / "constraints.txt"


def reports(peer: str, environments: Path, work: Path, answers: Path) -> list[dict[str, Any]]:
    """Run a peer on some work, and return what it says; failures are reports as well."""
    answers.mkdir()
    try:
        python = _environment(environments / peer, PEERS[peer])
    except subprocess.CalledProcessError as error:
        return [{"settings": "", "failed": f"does not install: {_last_line(error.stderr)}"}]
    script = _HERE / f"with_{peer}.py"
    done = subprocess.run(
        [python, script, work, answers], capture_output=True, text=True, check=False
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        said.append({"settings": "", "failed": f"stopped: {_last_line(done.stderr)}"})
    return said


def _environment(folder: Path, requirement: str) -> Path:
    """Return the Python of an environment that holds a package; make it where it is missing."""
    binaries = "Scripts" if sys.platform == "win32" else "bin"
    python = folder / binaries / "python"
    installed = folder / f"installed-{requirement}"
    if not installed.exists():
        print(f"Installing {requirement} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--constraint", _CONSTRAINTS]
        subprocess.run([*command, requirement], check=True, capture_output=True, text=True)
        installed.touch()
    return python


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no word of why"
