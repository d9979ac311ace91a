"""Make the paper's whole simulation set, as a user would.

python benchmarks/data_set.py
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print time, memory and size."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.zarr"
        command = [sys.executable, "-m", "opticalnet", "simulate", "--preset", "paper"]
        began = time.perf_counter()
        made = subprocess.run(
            [*command, "--out", str(out), "--json"],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
        said = json.loads(made.stdout)
        stored = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print("| `opticalnet simulate --preset paper` | |\n|---|---|")
    print(f"| frames | {said['frames']:,} |")
    print(f"| whole command, s | {seconds:.1f} |")
    print(f"| frames/s, without the start | {said['frames_per_s']:,.0f} |")
    print(f"| peak memory, MB | {memory_mb:,.0f} |")
    print(f"| on disk, MB | {stored / 1e6:.0f} |")


if __name__ == "__main__":
    main()
