"""Tables of the study of accuracy against bits."""

from __future__ import annotations

import pandera.pandas as pa

from nonideal.schemas.columns import INTERVAL, LEARNING_CURVE, SHARE, above, at_least, column, one_of, table

# What distinguishes one trained network from another.
NETWORK = {
    "dataset": column("str", "name of the data set"),
    "method": column("str", "training method", one_of(("float", "qat", "ptq"))),
    "format": column("str", "weight format (`float` for full precision)"),
    "bits": column("float64", "information per weight", above(0), unit="bit"),
    "seed": column("int64", "index of the repetition", at_least(0)),
}
NETWORK_KEY = list(NETWORK)

HISTORY = table(
    "training_history",
    [*NETWORK_KEY, "epoch"],
    NETWORK | LEARNING_CURVE,
)

ACCURACY = table(
    "accuracy",
    NETWORK_KEY,
    NETWORK
    | {
        "test_loss": column("float64", "cross entropy on the test set after the last epoch", unit="nat"),
        "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
        "weights": column("int64", "number of weights", at_least(1)),
    },
)

ACCURACY_SUMMARY = table(
    "accuracy_summary",
    [name for name in NETWORK_KEY if name != "seed"],
    {name: NETWORK[name] for name in NETWORK_KEY if name != "seed"}
    | {
        "mean": column("float64", "mean test accuracy over seeds", SHARE),
        "low": column(
            "float64", f"lower {INTERVAL} of the mean (Student's t, cut at 0 and 1)", nullable=True
        ),
        "high": column(
            "float64", f"upper {INTERVAL} of the mean (Student's t, cut at 0 and 1)", nullable=True
        ),
        "seeds": column("int64", "number of seeds", at_least(1)),
    },
)

MEAN_INTERVAL = f"{INTERVAL} of the mean (Student's t)"
LAYER = {
    "epoch": column("int64", "epoch, counted from 1", at_least(1)),
    "layer": column("int64", "layer, counted from 1", at_least(1)),
}

CODE_USAGE = table(
    "code_usage",
    [*NETWORK_KEY, *LAYER, "code"],
    NETWORK
    | LAYER
    | {
        "code": column("int64", "level of the weight format, in integer units"),
        "share": column("float64", "share of the layer's weights on that level", above(0), SHARE),
    },
)

CODE_ENTROPY = table(
    "code_entropy",
    [*NETWORK_KEY, *LAYER],
    NETWORK
    | LAYER
    | {
        "entropy": column("float64", "entropy of the layer's codes", at_least(0), unit="bit"),
        "deviation": column("float64", "standard deviation of the levels, in integer units", at_least(0)),
    },
)

ENTROPY_SUMMARY = table(
    "entropy_summary",
    ["dataset", "format", *LAYER],
    {name: NETWORK[name] for name in ("dataset", "format", "bits")}
    | LAYER
    | {
        "entropy": column("float64", "mean entropy of the layer's codes over seeds", at_least(0), unit="bit"),
        "entropy_low": column("float64", f"lower {MEAN_INTERVAL}", unit="bit", nullable=True),
        "entropy_high": column("float64", f"upper {MEAN_INTERVAL}", unit="bit", nullable=True),
        "deviation": column("float64", "mean standard deviation of the levels over seeds", at_least(0)),
        "deviation_low": column("float64", f"lower {MEAN_INTERVAL}", nullable=True),
        "deviation_high": column("float64", f"upper {MEAN_INTERVAL}", nullable=True),
        "seeds": column("int64", "number of seeds", at_least(1)),
    },
)

FIRST_LAYER = table(
    "first_layer",
    ["dataset", "format", "neuron", "row", "column"],
    {
        "dataset": column("str", "name of the data set"),
        "format": column("str", "weight format"),
        "neuron": column("int64", "hidden neuron, counted from 1", at_least(1)),
        "row": column("int64", "row of the pixel, from the top", at_least(0), unit="pixel"),
        "column": column("int64", "column of the pixel, from the left", at_least(0), unit="pixel"),
        "level": column("int64", "level of the weight, in integer units"),
        "relative": column(
            "float64", "level relative to the largest of the format", pa.Check.in_range(-1, 1)
        ),
    },
)
