"""Tables of the study of regularised training."""

from __future__ import annotations

import pandera.pandas as pa

from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, one_of, table

METHODS = ("float", "fixed", "step", "multiplier", "multiplier_ste", "lsq")
FAULT_MODES = ("basic", "passive", "active", "active+passive", "trained")
VARIABILITY_METHODS = ("chip_in_loop", "regularised", "unseen_map")
CLAIM_VERDICTS = ("holds", "undecided", "fails", "not measured")

DATA = {
    "dataset": column("str", "name of the data set"),
    "model": column("str", "name of the network"),
}
BITS = {
    "bits": column("int64", "bits of weights and activations (32: full precision)", at_least(1), unit="bit")
}
SEED = {"seed": column("int64", "index of the repetition", at_least(0))}
METHOD = {"method": column("str", "quantiser and training variant", one_of(METHODS))}
FAULTS = {
    "mode": column("str", "mitigation of the faults", one_of(FAULT_MODES)),
    "p_stuck1": column("float64", "share of the stuck cells that is stuck at 1", SHARE),
    "rate": column("float64", "share of the bit cells that is stuck", SHARE),
}
VARIABILITY = {
    "method": column("str", "training, or the control on an unseen chip", one_of(VARIABILITY_METHODS)),
    "sigma": column("float64", "standard deviation over mean of the cells' factors", at_least(0)),
}
MEASURED = {
    "test_loss": column("float64", "cross entropy on the test images after the last epoch", unit="nat"),
    "test_accuracy": column("float64", "share of test images classified correctly", SHARE),
    "validation_accuracy": column(
        "float64", "the same of what training may look at (held-out images, if any)", SHARE, nullable=True
    ),
}
CUT = "of the mean (Student's t, cut at 0 and 1)"
SUMMARISED = {
    "mean": column("float64", "mean test accuracy over seeds", SHARE),
    "low": column("float64", f"lower {INTERVAL} {CUT}", nullable=True),
    "high": column("float64", f"upper {INTERVAL} {CUT}", nullable=True),
    "change": column("float64", "accuracy against full precision, paired over seeds", unit="points"),
    "change_low": column("float64", f"lower {INTERVAL} of the change", unit="points", nullable=True),
    "change_high": column("float64", f"upper {INTERVAL} of the change", unit="points", nullable=True),
    "seeds": column("int64", "number of seeds", at_least(1)),
}


def pair(name: str, key: dict[str, pa.Column]) -> tuple[pa.DataFrameSchema, pa.DataFrameSchema]:
    """Table of networks, and of their means and intervals over seeds."""
    key = DATA | key
    networks = table(name, [*key, "seed"], key | SEED | MEASURED)
    return networks, table(f"{name}_summary", list(key), key | SUMMARISED)


QAT, QAT_SUMMARY = pair("regularised_qat", METHOD | BITS)
FAULT_RUNS, FAULT_SUMMARY = pair("regularised_faults", FAULTS | BITS)
VARIABILITY_RUNS, VARIABILITY_SUMMARY = pair("regularised_variability", VARIABILITY | BITS)

PCM_METHODS = ("unaware", "nearest", "chip_in_loop", "regularised")
PCM = {
    "levels": column(
        "str", "powers of two of one step, or learned multipliers", one_of(("fixed", "multiplier"))
    ),
    "method": column(
        "str", "whether codes and weights were fitted to the chip as measured", one_of(PCM_METHODS)
    ),
    "time_s": column("float64", "time after programming", above(0), unit="s"),
}
OVER_FIXED = {
    "over_fixed": column("float64", "accuracy over that with fixed levels, paired over seeds", unit="points"),
    "over_fixed_low": column("float64", f"lower {INTERVAL} of it", unit="points", nullable=True),
    "over_fixed_high": column("float64", f"upper {INTERVAL} of it", unit="points", nullable=True),
}
PCM_KEY = DATA | PCM | BITS
PCM_RUNS = table(
    "regularised_pcm",
    [*PCM_KEY, "seed"],
    PCM_KEY | SEED | {name: MEASURED[name] for name in ("test_loss", "test_accuracy")},
)
PCM_SUMMARY = table("regularised_pcm_summary", list(PCM_KEY), PCM_KEY | SUMMARISED | OVER_FIXED)

STUDIES = ("quantisation", "faults", "variability")
HEADLINE_KEY = (
    DATA
    | {
        "study": column("str", "what the network suffers", one_of(STUDIES)),
        "method": column(
            "str", "quantiser, mitigation or training", one_of((*METHODS, *FAULT_MODES, *VARIABILITY_METHODS))
        ),
        "p_stuck1": FAULTS["p_stuck1"],
        "condition": column(
            "float64", "share of stuck cells, or standard deviation over mean of the cells", at_least(0)
        ),
    }
    | BITS
)
HEADLINE_RUNS = table(
    "regularised_headline",
    [*HEADLINE_KEY, "seed"],
    HEADLINE_KEY | SEED | {name: MEASURED[name] for name in ("test_loss", "test_accuracy")},
)
HEADLINE_SUMMARY = table("regularised_headline_summary", list(HEADLINE_KEY), HEADLINE_KEY | SUMMARISED)


def claims(name: str) -> pa.DataFrameSchema:
    """Table of claims and whether they hold."""
    return table(
        name,
        ["dataset", "name", "statistic", "bits", "p_stuck1"],
        {
            "dataset": DATA["dataset"],
            "name": column("str", "short name of the claim"),
            "statement": column("str", "the claim in words"),
            "statistic": column(
                "str", "how conditions are combined", one_of(("mean", "least", "single", "largest"))
            ),
            "bits": column("int64", "width it speaks of (0: all widths of the run)", at_least(0), unit="bit"),
            "p_stuck1": column(
                "float64", "share of stuck cells stuck at 1 (0 where it does not apply)", SHARE
            ),
            "value": column("float64", "our value", nullable=True),
            "low": column("float64", f"lower {INTERVAL}, paired over seeds", nullable=True),
            "high": column("float64", f"upper {INTERVAL}, paired over seeds", nullable=True),
            "unit": column("str", "unit of value, ends and bound", one_of(("points", "%"))),
            "at_least": column("float64", "bound that the claim sets"),
            "verdict": column("str", "whether the claim holds here", one_of(CLAIM_VERDICTS)),
            "seeds": column("int64", "number of seeds", at_least(0)),
        },
    )


CLAIMS = claims("regularised_claims")

PANELS = ("learned", "stuck", "variable")
PANEL = {"panel": column("str", "learned levels; one cell stuck; cells that vary", one_of(PANELS))}
CURVES = table(
    "regularised_curves",
    ["panel", "x"],
    PANEL
    | {
        "x": column("float64", "weight, in steps of the uniform levels of the same range"),
        "quantised": column("float64", "level it goes to, in the same unit"),
        "loss": column("float64", "squared distance to it", at_least(0)),
    },
)
LEVELS = table(
    "regularised_levels",
    ["panel", "code"],
    PANEL
    | {
        "code": column("int64", "code of the level", at_least(0)),
        "ideal": column("float64", "uniform level of the code, in steps"),
        "level": column("float64", "level of the code, in steps"),
        "attainable": column("bool", "whether the cells can hold the code"),
    },
)
MULTIPLIERS = table(
    "regularised_multipliers",
    ["layer", "bits", "bit", "seed"],
    {
        "layer": column("str", "name of the layer"),
        "place": column("int64", "place of the layer among the quantised ones", at_least(0)),
        **BITS,
        "bit": column("int64", "bit cell, 0 the least significant", at_least(0)),
        **SEED,
        "multiplier": column("float64", "learned multiplier", unit=""),
        "relative": column("float64", "multiplier over the power of two of the same range"),
    },
)
BIT_SERIAL = table(
    "regularised_bit_serial",
    ["bits", "seed"],
    {
        **BITS,
        **SEED,
        "images": column("int64", "test images classified both ways", at_least(1)),
        "network_accuracy": column("float64", "share correct, network with quantised weights", SHARE),
        "integer_accuracy": column("float64", "share correct, bit-serial integers", SHARE),
        "different_classes": column("int64", "images whose class differs", at_least(0)),
        "largest_difference": column("float64", "largest difference over the largest logit", at_least(0)),
        "most_shift_add": column("int64", "largest integer any accumulator held", above(0)),
    },
)

# The format that `nonideal.cellmaps` reads.
CELL_MAP = table(
    "cell_map",
    ["layer", "row", "column", "bit"],
    {
        "layer": column("str", "name of the layer"),
        "row": column("int64", "output of the layer, counted from 0", at_least(0)),
        "column": column("int64", "input, position in the flattened filter, counted from 0", at_least(0)),
        "bit": column("int64", "bit cell, 0 the least significant", at_least(0)),
        "stuck": column("int64", "value the cell is stuck at, 0 or 1", SHARE),
    },
)
