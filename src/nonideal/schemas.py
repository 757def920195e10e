"""Declared tables: columns, types, units, allowed values and keys, each in one place."""

from __future__ import annotations

import pandera.pandas as pa

MAPPINGS = ("equal_fill", "max_fill", "max_fill_ec", "digital")
FIGURES = ("4a", "4b", "4c", "ternary")
TIMES = pa.Check.gt(0)


def column(dtype: str, description: str, *checks: pa.Check, unit: str = "", **options: object) -> pa.Column:
    """Column of a table, with the unit of its values (empty for counts, ratios and names)."""
    return pa.Column(dtype, list(checks), description=description, metadata={"unit": unit}, **options)


def table(key: list[str], columns: dict[str, pa.Column]) -> pa.DataFrameSchema:
    """Closed schema whose rows are identified, and sorted, by the columns of `key`."""
    return pa.DataFrameSchema(columns, strict=True, ordered=True, unique=key)


def at_least(minimum: float) -> pa.Check:
    """Lower bound of a column's values, bound included."""
    return pa.Check.ge(minimum)


def one_of(values: tuple[str, ...]) -> pa.Check:
    """Allowed names of a column."""
    return pa.Check.isin(list(values))


SHARE = pa.Check.in_range(0, 1)

# What distinguishes one simulated crossbar from another.
CROSSBAR = {
    "figure": column("str", "figure of Le Gallo et al. 2022 whose sweep the row belongs to", one_of(FIGURES)),
    "mapping": column("str", "how a weight is split over slices", one_of(MAPPINGS)),
    "weights": column("str", "weight distribution", one_of(("gaussian", "ternary"))),
    "base": column("int64", "ratio of significance between neighbouring slices, b_W", at_least(1)),
    "n_slices": column("int64", "devices per weight, n_W", at_least(1)),
    "time_s": column("float64", "time after programming", TIMES, unit="s"),
}
CROSSBAR_KEY = list(CROSSBAR)

ETA = "relative error of the matrix-vector product, |y_hat - y| / |y| (Euclidean norms)"
INTERVAL = "end of the 95 % interval"

# What distinguishes one trained network from another.
NETWORK = {
    "dataset": column("str", "name of the data set"),
    "method": column("str", "training method", one_of(("float", "qat", "ptq"))),
    "format": column("str", "weight format (`float` for full precision)"),
    "bits": column("float64", "information per weight", pa.Check.gt(0), unit="bit"),
    "seed": column("int64", "index of the repetition", at_least(0)),
}
NETWORK_KEY = list(NETWORK)

TABLES: dict[str, pa.DataFrameSchema] = {
    "crossbar_trials": table(
        [*CROSSBAR_KEY, "trial"],
        CROSSBAR
        | {
            "trial": column("int64", "index of the Monte Carlo trial", at_least(0)),
            "eta": column("float64", ETA, at_least(0)),
        },
    ),
    "crossbar_summary": table(
        CROSSBAR_KEY,
        CROSSBAR
        | {
            "mean": column("float64", f"mean over trials: {ETA}", at_least(0)),
            "std": column("float64", "standard deviation over trials", at_least(0)),
            "sem": column("float64", "standard error of the mean", at_least(0)),
            "trials": column("int64", "number of trials", at_least(2)),
        },
    ),
    "ternarisation": table(
        ["trial"],
        {
            "trial": column("int64", "index of the Monte Carlo trial", at_least(0)),
            "eta": column(
                "float64", "error that ternary weights make before any hardware error", at_least(0)
            ),
        },
    ),
    "ternarisation_summary": table(
        ["weights"],
        {
            "weights": CROSSBAR["weights"],
            "mean": column("float64", "mean error of ternary weights before any hardware error", at_least(0)),
            "std": column("float64", "standard deviation over trials", at_least(0)),
            "sem": column("float64", "standard error of the mean", at_least(0)),
            "trials": column("int64", "number of trials", at_least(2)),
        },
    ),
    "eq8_fit": table(
        ["time_s"],
        {
            "time_s": CROSSBAR["time_s"],
            "eta_s": column("float64", "fitted single-slice error of Eq. 8", pa.Check.gt(0)),
            "low": column("float64", f"lower {INTERVAL} of eta_s", pa.Check.gt(0)),
            "high": column("float64", f"upper {INTERVAL} of eta_s", pa.Check.gt(0)),
            "standard_error": column("float64", "standard error of eta_s", at_least(0)),
            "dof": column("int64", "degrees of freedom of both tests", at_least(1)),
            "chi2_error": column("float64", "misfit in squared standard errors of the means", at_least(0)),
            "p_error": column("float64", "probability of a larger chi2_error if Eq. 8 held exactly", SHARE),
            "chi2_spread": column("float64", "misfit in squared spreads of single trials", at_least(0)),
            "p_spread": column(
                "float64", "the same probability for chi2_spread: would one trial tell?", SHARE
            ),
            "worst_in_std": column("float64", "largest deviation in units of the trial spread", at_least(0)),
            "worst_in_sem": column("float64", "largest deviation in standard errors", at_least(0)),
        },
    ),
    "eq8_ratios": table(
        ["mapping", "base", "n_slices", "time_s"],
        {name: CROSSBAR[name] for name in ("mapping", "base", "n_slices", "time_s")}
        | {
            "simulated": column("float64", f"mean over trials: {ETA}", pa.Check.gt(0)),
            "predicted": column("float64", "Eq. 8 with the fitted eta_s", pa.Check.gt(0)),
            "ratio": column("float64", "simulated / predicted", pa.Check.gt(0)),
            "ratio_sem": column("float64", "standard error of the ratio from the simulation", at_least(0)),
            "deviation_in_std": column("float64", "(simulated - predicted) / trial spread"),
            "deviation_in_sem": column("float64", "(simulated - predicted) / standard error"),
            "fitted": column("bool", "whether the row entered the fit (equal-fill only)"),
        },
    ),
    "crossover": table(
        ["first", "second", "weights", "base", "n_slices"],
        {
            "first": column("str", "mapping with the lower error before the crossover", one_of(MAPPINGS)),
            "second": column("str", "mapping with the lower error after the crossover", one_of(MAPPINGS)),
            "weights": CROSSBAR["weights"],
            "base": CROSSBAR["base"],
            "n_slices": CROSSBAR["n_slices"],
            "time_s": column("float64", "time of equal mean error", TIMES, unit="s", nullable=True),
            "low_s": column("float64", f"lower {INTERVAL}", TIMES, unit="s", nullable=True),
            "high_s": column("float64", f"upper {INTERVAL}", TIMES, unit="s", nullable=True),
            "share_with_crossover": column("float64", "share of bootstrap samples with a crossover", SHARE),
            "verdict": column("str", "the result in words"),
        },
    ),
    "training_history": table(
        [*NETWORK_KEY, "epoch"],
        NETWORK
        | {
            "epoch": column("int64", "epoch, counted from 1", at_least(1)),
            "learning_rate": column("float64", "learning rate at the end of the epoch", at_least(0)),
            "train_loss": column("float64", "mean cross entropy over the epoch", unit="nat"),
            "train_accuracy": column("float64", "share of training samples classified correctly", SHARE),
            "test_loss": column("float64", "cross entropy on the test set", unit="nat"),
            "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
        },
    ),
    "accuracy": table(
        NETWORK_KEY,
        NETWORK
        | {
            "test_loss": column("float64", "cross entropy on the test set after the last epoch", unit="nat"),
            "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
            "weights": column("int64", "number of weights", at_least(1)),
        },
    ),
    "accuracy_summary": table(
        [name for name in NETWORK_KEY if name != "seed"],
        {name: NETWORK[name] for name in NETWORK_KEY if name != "seed"}
        | {
            "mean": column("float64", "mean test accuracy over seeds", SHARE),
            "low": column("float64", f"lower {INTERVAL} of the mean (Student's t)", nullable=True),
            "high": column("float64", f"upper {INTERVAL} of the mean (Student's t)", nullable=True),
            "seeds": column("int64", "number of seeds", at_least(1)),
        },
    ),
    "compare_published": table(
        ["track", "figure", "quantity"],
        {
            "track": column(
                "str",
                "study of the pipeline",
                one_of(
                    (
                        "crossbar",
                        "fpga",
                        "microcontroller",
                        "pcm_networks",
                        "regularised",
                        "spiking",
                        "training",
                    )
                ),
            ),
            "figure": column("str", "figure or table of the publication"),
            "quantity": column("str", "what was measured"),
            "unit": column("str", "unit of the values"),
            "kind": column("str", "value to meet or bound to keep", one_of(("value", "at_most", "at_least"))),
            "published": column("float64", "published value or bound"),
            "tolerance": column("float64", "difference still called a reproduction", at_least(0)),
            "ours": column("float64", "our value", nullable=True),
            "interval": column("float64", "half width of our 95 % interval", nullable=True),
            "difference": column("float64", "ours - published", nullable=True),
            "verdict": column("str", "verdict", one_of(("inside", "outside", "not run"))),
            "scale": column("str", "scale of our run; empty where not run"),
            "published_scale": column("str", "scale of the published run"),
            "source": column("str", "where the published value stands"),
        },
    ),
}
