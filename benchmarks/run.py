"""Run every benchmark of this folder and keep its table; `make bench`.

Each benchmark is a script of its own that prints ratios measured inside one run. Tables go to
`benchmarks/out/`. Run on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    scripts = sorted(path for path in FOLDER.glob("*.py") if path.name != Path(__file__).name)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [path.stem for path in scripts]
    parser.add_argument("benchmark", nargs="*", help=f"which to run, of {', '.join(names)} (default: all)")
    chosen = parser.parse_args().benchmark or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(names)}")
    (FOLDER / "out").mkdir(exist_ok=True)
    failed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        table = FOLDER / f"out/{name}.csv"
        done = subprocess.run([sys.executable, FOLDER / f"{name}.py", "--output", table], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
