"""Tables of the crossbar study."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, one_of, table

MAPPINGS = ("equal_fill", "max_fill", "max_fill_ec", "digital")
FIGURES = ("4a", "4b", "4c", "ternary")
TIMES = above(0)

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

STUDENT = "Student's t"
ETA = "relative error of the matrix-vector product, |y_hat - y| / |y| (Euclidean norms)"

TRIALS = table(
    "crossbar_trials",
    [*CROSSBAR_KEY, "trial"],
    CROSSBAR
    | {
        "trial": column("int64", "index of the Monte Carlo trial", at_least(0)),
        "eta": column("float64", ETA, at_least(0)),
    },
)

SUMMARY = table(
    "crossbar_summary",
    CROSSBAR_KEY,
    CROSSBAR
    | {
        "mean": column("float64", f"mean over trials: {ETA}", at_least(0)),
        "std": column("float64", "standard deviation over trials", at_least(0)),
        "sem": column("float64", "standard error of the mean", at_least(0)),
        "half_width": column(
            "float64", f"half width of the 95 % interval of the mean, {STUDENT}", at_least(0)
        ),
        "trials": column("int64", "number of trials", at_least(2)),
    },
)

TERNARISATION = table(
    "ternarisation",
    ["trial"],
    {
        "trial": column("int64", "index of the Monte Carlo trial", at_least(0)),
        "eta": column("float64", "error that ternary weights make before any hardware error", at_least(0)),
    },
)

TERNARISATION_SUMMARY = table(
    "ternarisation_summary",
    ["weights"],
    {
        "weights": CROSSBAR["weights"],
        "mean": column("float64", "mean error of ternary weights before any hardware error", at_least(0)),
        "std": column("float64", "standard deviation over trials", at_least(0)),
        "sem": column("float64", "standard error of the mean", at_least(0)),
        "trials": column("int64", "number of trials", at_least(2)),
    },
)

TERNARY = table(
    "crossbar_ternary",
    ["mapping", "base", "n_slices", "time_s"],
    {name: CROSSBAR[name] for name in ("mapping", "base", "n_slices", "time_s")}
    | {
        "ratio": column("float64", "mean error of ternary weights over that of 9-bit weights", above(0)),
        "ratio_low": column("float64", f"lower {INTERVAL} of the ratio ({STUDENT}, paired)", above(0)),
        "ratio_high": column("float64", f"upper {INTERVAL} of the ratio ({STUDENT}, paired)", above(0)),
        "change": column("float64", "that ratio over the one at the first time", above(0)),
        "change_low": column("float64", f"lower {INTERVAL} of the change ({STUDENT}, paired)", above(0)),
        "change_high": column("float64", f"upper {INTERVAL} of the change ({STUDENT}, paired)", above(0)),
        "trials": column("int64", "number of trials", at_least(2)),
    },
)

EQ8_FIT = table(
    "eq8_fit",
    ["time_s"],
    {
        "time_s": CROSSBAR["time_s"],
        "eta_s": column("float64", "fitted single-slice error of Eq. 8", above(0)),
        "low": column("float64", f"lower {INTERVAL} of eta_s", above(0)),
        "high": column("float64", f"upper {INTERVAL} of eta_s", above(0)),
        "standard_error": column("float64", "standard error of eta_s", at_least(0)),
        "dof": column("int64", "degrees of freedom of chi2_error", at_least(1)),
        "chi2_error": column("float64", "misfit in squared standard errors of the means", at_least(0)),
        "p_error": column("float64", "probability of a larger chi2_error if Eq. 8 held exactly", SHARE),
        "worst_in_std": column(
            "float64", "largest deviation of a fitted row in units of the trial spread", at_least(0)
        ),
        "worst_in_sem": column(
            "float64", "largest deviation of a fitted row in its standard errors", at_least(0)
        ),
    },
)

EQ8_RATIOS = table(
    "eq8_ratios",
    ["mapping", "base", "n_slices", "time_s"],
    {name: CROSSBAR[name] for name in ("mapping", "base", "n_slices", "time_s")}
    | {
        "simulated": column("float64", f"mean over trials: {ETA}", above(0)),
        "predicted": column("float64", "Eq. 8 with the fitted eta_s", above(0)),
        "ratio": column("float64", "simulated / predicted", above(0)),
        "ratio_sem": column("float64", "standard error of the ratio, paired over trials", at_least(0)),
        "deviation_in_std": column("float64", "(simulated - predicted) / trial spread"),
        "deviation_in_sem": column(
            "float64", "simulated - predicted in its standard errors, paired over trials"
        ),
        "fitted": column("bool", "whether the row entered the fit (equal-fill only)"),
    },
)

OPTIONS = table(
    "crossbar_options",
    ["option", "value", "mapping", "weights", "base", "n_slices", "time_s"],
    {
        "option": column("str", "key of the configuration", one_of(("ec_targets", "read_noise_norm"))),
        "value": column("str", "its value, compared with the published choice"),
        **{name: CROSSBAR[name] for name in ("mapping", "weights", "base", "n_slices", "time_s")},
        "published_choice": column("float64", f"mean with the published choice: {ETA}", above(0)),
        "mean": column("float64", f"mean with this value: {ETA}", above(0)),
        "change": column("float64", "relative change, mean / published_choice - 1"),
        "change_sem": column("float64", "standard error of the change, paired", at_least(0)),
        "change_half_width": column("float64", f"half width of its 95 % interval, {STUDENT}", at_least(0)),
        "trials": column("int64", "number of trials", at_least(2)),
    },
)

CROSSOVER = table(
    "crossover",
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
        "share_with_crossover": column(
            "float64", "share of bootstrap samples with this crossover (with any, if there is none)", SHARE
        ),
        "verdict": column("str", "the result in words"),
    },
)
