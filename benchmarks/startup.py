"""Time of `opticalnet --help` beside that of a bare typer program, in one run.

python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = '''
import typer
app = typer.Typer(add_completion=False)

@app.command()
def one(name: str = "x") -> None:
    """Do one thing."""

@app.command()
def two(name: str = "x") -> None:
    """Do another."""

app()
'''
ROUNDS = 15


def seconds(command: list[str]) -> float:
    """Return how long a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Run both in turns and compare the medians."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        commands = {
            "bare typer program": [sys.executable, str(bare), "--help"],
            "opticalnet": [sys.executable, "-m", "opticalnet", "--help"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(seconds(command))
    medians = {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}
    print(f"| --help | ms (median of {ROUNDS}) |\n|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {1000 * median:.0f} |")
    print(f"| ratio | {medians['opticalnet'] / medians['bare typer program']:.2f} |")


if __name__ == "__main__":
    main()
