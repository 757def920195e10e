"""Table of the architectures trained in full precision."""

from __future__ import annotations

from nonideal.schemas.columns import SHARE, at_least, column, table

NETWORK_ARCHITECTURES = table(
    "network_architectures",
    ["dataset", "architecture"],
    {
        "dataset": column("str", "name of the data set"),
        "architecture": column("str", "name of the architecture"),
        "epochs": column("int64", "passes over the training set", at_least(1)),
        "train_accuracy": column("float64", "share of training samples in the last epoch, augmented", SHARE),
        "test_accuracy": column("float64", "share of test samples after the last epoch", SHARE),
    },
)
