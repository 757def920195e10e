"""Table of the architectures trained in full precision."""

from __future__ import annotations

from nonideal.schemas.columns import SHARE, at_least, column, one_of, table
from nonideal.schemas.network_history import BESIDE

NETWORK_ARCHITECTURES = table(
    "network_architectures",
    ["dataset", "name"],
    {
        "dataset": column("str", "name of the data set"),
        "name": column("str", "name of the network, of its folder"),
        "network": column(
            "str",
            "on the chips, from labels, taught, continued from another, or a teacher",
            one_of(("float", *BESIDE)),
        ),
        "architecture": column("str", "name of the architecture; of a teacher with its width: airbench-w64"),
        "start": column("str", "name of the network it is continued from; empty: from random weights"),
        "epochs": column(
            "int64",
            "passes over the training set; of a continued network those since its start",
            at_least(1),
        ),
        "minutes": column("float64", "wall time of these epochs", at_least(0), unit="min"),
        "train_accuracy": column("float64", "share of training samples in the last epoch, augmented", SHARE),
        "test_accuracy": column(
            "float64", "share of test samples after the last epoch, in the precision of training", SHARE
        ),
        "mirrored_accuracy": column(
            "float64",
            "by the mean over an image and its mirror image, in float32; null: not trained on mirror images",
            SHARE,
            nullable=True,
        ),
    },
)
