"""Time of `opticalnet --help` beside that of a bare typer program, in one run.

python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from timing import seconds

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

run = partial(subprocess.run, check=True, capture_output=True)


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
                times[name].append(seconds(partial(run, command)))
    medians = {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}
    print(f"| --help | ms (median of {ROUNDS}) |\n|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {1000 * median:.0f} |")
    print(f"| ratio | {medians['opticalnet'] / medians['bare typer program']:.2f} |")


if __name__ == "__main__":
    main()
