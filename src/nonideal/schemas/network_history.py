"""Table of the training of the networks that go onto crossbars."""

from __future__ import annotations

from nonideal.schemas.columns import SHARE, at_least, column, one_of, table

NETWORKS = ("float", "noise_aware", "ternary")

NETWORK_HISTORY = table(
    "network_history",
    ["network", "epoch"],
    {
        "network": column(
            "str",
            "full precision, fine-tuned with noise, or with noise and ternary weights",
            one_of(NETWORKS),
        ),
        "architecture": column("str", "name of the architecture"),
        "dataset": column("str", "name of the data set"),
        "epoch": column("int64", "epoch, counted from 1", at_least(1)),
        "learning_rate": column("float64", "learning rate at the start of the epoch", at_least(0)),
        "train_loss": column("float64", "mean cross entropy over the epoch", unit="nat"),
        "train_accuracy": column("float64", "share of training samples classified correctly", SHARE),
        "test_loss": column("float64", "cross entropy on the test set, without noise", unit="nat"),
        "test_accuracy": column(
            "float64", "share of test samples classified correctly, without noise", SHARE
        ),
        "seconds": column("float64", "wall time of the epoch", at_least(0), unit="s"),
    },
)
