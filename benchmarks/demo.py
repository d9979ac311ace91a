"""Wall-clock time of the two commands of `make demo`, as a user runs them.

python benchmarks/demo.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run them and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "demo.zarr")
        commands = {
            "acquire": ["acquire", "--sample", "ss", "--grid", "7", "--out", run],
            "reconstruct": ["reconstruct", run],
        }
        print("| command | s |\n|---|---|")
        total = 0.0
        for name, arguments in commands.items():
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "opticalnet", *arguments],
                check=True,
                capture_output=True,
            )
            seconds = time.perf_counter() - began
            total += seconds
            print(f"| {name} | {seconds:.1f} |")
        print(f"| both | {total:.1f} |")


if __name__ == "__main__":
    main()
