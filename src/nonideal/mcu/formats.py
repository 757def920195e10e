"""Every weight format in one table: what it costs in accuracy, in flash and in time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nonideal import stats

COSTS = ("cycles", "instructions")  # of both kernels
METHODS = ("float", "ptq", "qat")


def format_table(
    kernels: pd.DataFrame, networks: pd.DataFrame, others: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Accuracy and costs of each format that has a program.

    Parameters
    ----------
    kernels
        Rows of table ``mcu_kernels``.
    networks
        Rows of table ``accuracy`` for the widths that most formats have.
    others
        The same for formats whose networks have widths of their own, by format.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``formats``.
    """
    rows = []
    for (dataset, name), programs in kernels.groupby(["dataset", "format"]):
        accuracy = others.get(str(name), networks).query("dataset == @dataset")
        fast, plain = (programs.set_index("kernel").loc[kernel] for kernel in ("fast", "plain"))
        chosen = accuracy[(accuracy["format"] == name) & (accuracy["method"] == "qat")]
        row = {"dataset": dataset, "format": name, "bits": chosen["bits"].iloc[0], "sizes": fast["sizes"]}
        row["weights"] = int(chosen["weights"].iloc[0])
        for method in METHODS:
            wanted = "float" if method == "float" else name
            part = accuracy[(accuracy["method"] == method) & (accuracy["format"] == wanted)]
            row |= _accuracy(method, part["test_accuracy"])
        row |= {"seeds": len(chosen), "integer_accuracy": fast["test_accuracy"]}
        row |= {key: fast[key] for key in ("weight_bytes", "flash_bytes", "ram_bytes", *COSTS)}
        row |= {f"plain_{key}": plain[key] for key in COSTS}
        rows.append(row | {"speedup": plain["cycles"] / fast["cycles"]})
    return pd.DataFrame(rows)


def _accuracy(method: str, values: pd.Series) -> dict[str, float]:
    low, high = stats.ends(values, share=True)
    return {f"{method}_mean": values.mean(), f"{method}_low": low, f"{method}_high": high}
