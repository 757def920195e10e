"""Tables of the study of accuracy against bits."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, one_of, table

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
    NETWORK
    | {
        "epoch": column("int64", "epoch, counted from 1", at_least(1)),
        "learning_rate": column("float64", "learning rate at the start of the epoch", at_least(0)),
        "train_loss": column("float64", "mean cross entropy over the epoch", unit="nat"),
        "train_accuracy": column("float64", "share of training samples classified correctly", SHARE),
        "test_loss": column("float64", "cross entropy on the test set", unit="nat"),
        "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
    },
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
