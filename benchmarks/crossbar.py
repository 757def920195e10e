"""Time the crossbar engine against the per-device oracle, on one core.

Run `python benchmarks/crossbar.py [--trials N] [--output PATH]`. Every row is one configuration of Fig. 4a
(t0 and 30 days) or Fig. 4c (12 times up to a year): processor milliseconds per trial of `simulate` by
itself, random numbers included; of the oracle in `tests/pcm/oracle.py`, measured in turn with it; their
ratio; and the mean errors. Two last lines time each figure as the workflow runs it, all
configurations on the same random numbers.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is imported: it reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from nonideal import files, rng  # noqa: E402
from nonideal.pcm.crossbar import Configuration, simulate, simulate_many  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pcm"))
import oracle  # noqa: E402

MONTH_S = 30 * 86400.0
YEAR_S = 365 * 86400.0
SEED = 1
TARGET_MS = {"4a": 0.65, "4c": 2.0}  # per trial, mean over the figure's configurations
TARGET_RATIO = {"4a": 15.0, "4c": 40.0}
FIGURES = {
    "4a": (
        [20.0, MONTH_S],
        [
            Configuration(mapping, base=base, n_slices=n)
            for base, mappings in (
                (1, ("equal_fill", "max_fill", "max_fill_ec")),
                (2, ("equal_fill", "max_fill", "max_fill_ec")),
                (None, ("digital",)),
            )
            for mapping in mappings
            for n in (1, 2, 4, 8)
        ],
    ),
    "4c": (
        list(np.geomspace(20.0, YEAR_S, 12)),
        [Configuration(mapping, base=1, n_slices=8) for mapping in ("equal_fill", "max_fill", "max_fill_ec")],
    ),
}


def seconds(run: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()  # one thread: processor time, so that other programs do not count
    result = run()
    return time.process_time() - start, result


def row(figure: str, configuration: Configuration, trials: int, oracle_trials: int) -> dict[str, object]:
    times, _ = FIGURES[figure]
    name = configuration.mapping, configuration.base, configuration.n_slices
    generator = rng.stream(SEED, "benchmark", figure, *map(str, name))
    slow = 0.0
    fast = 0.0
    etas = []
    # In turn, so that both meet the same load of the machine.
    for part in range(oracle_trials):
        slow += seconds(lambda: oracle.trial(*name, times, generator))[0]
        shard = range(part * trials // oracle_trials, (part + 1) * trials // oracle_trials)
        spent, eta = seconds(lambda shard=shard: simulate(configuration, times, shard, seed=SEED))
        fast += spent
        etas.append(eta)
    mean = np.concatenate(etas).mean(axis=0)
    return {
        "figure": figure,
        "mapping": configuration.mapping,
        "base": configuration.base,
        "n_slices": configuration.n_slices,
        "ms": 1e3 * fast / trials,
        "oracle_ms": 1e3 * slow / oracle_trials,
        "ratio": (slow / oracle_trials) / (fast / trials),
        "eta_t0": mean[0],
        "eta_last": mean[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200, help="trials per configuration (default 200)")
    parser.add_argument("--oracle-trials", type=int, default=5, help="trials of the oracle (default 5)")
    parser.add_argument("--output", type=Path, help="CSV file for the table")
    arguments = parser.parse_args()
    if not 1 <= arguments.oracle_trials <= arguments.trials:
        parser.error("--oracle-trials must lie between 1 and --trials")

    spent, _ = seconds(lambda: simulate(FIGURES["4a"][1][0], [20.0], range(1), seed=SEED))
    print(f"first call {spent:.2f} s (compiles, or loads the compiled code from disk)\n")
    rows = [
        row(figure, configuration, arguments.trials, arguments.oracle_trials)
        for figure, (_, configurations) in FIGURES.items()
        for configuration in configurations
    ]
    table = pd.DataFrame(rows).astype({"base": "Int64"})
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-"), "\n")
    shared = []
    for figure, (times, configurations) in FIGURES.items():
        part = table[table.figure == figure]
        spent, _ = seconds(
            lambda c=configurations, t=times: simulate_many(c, t, range(arguments.trials), seed=SEED)
        )
        together = 1e3 * spent / arguments.trials / len(configurations)
        ratio = part.oracle_ms.sum() / part.ms.sum()
        print(
            f"Fig. {figure}: {part.ms.mean():.3f} ms per trial and configuration "
            f"(target {TARGET_MS[figure]}), "
            f"{together:.3f} ms on shared random numbers; {ratio:.1f} times the oracle "
            f"(target {TARGET_RATIO[figure]:.0f}), {part.oracle_ms.mean() / together:.1f} times when shared"
        )
        average = {"figure": figure, "oracle_ms": part.oracle_ms.mean()}
        shared.append(average | {"mapping": "mean, each alone", "ms": part.ms.mean(), "ratio": ratio})
        ratio = part.oracle_ms.mean() / together
        shared.append(average | {"mapping": "mean, shared random numbers", "ms": together, "ratio": ratio})
    table = pd.concat([table, pd.DataFrame(shared).convert_dtypes()], ignore_index=True)
    if arguments.output:
        with files.atomic(arguments.output) as path:
            table.to_csv(path, index=False)


if __name__ == "__main__":
    main()
