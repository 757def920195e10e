"""Table of the training of the networks that go onto crossbars."""

from __future__ import annotations

from nonideal.schemas.columns import LEARNING_CURVE, at_least, column, one_of, table

NETWORKS = ("float", "noise_aware", "ternary")
BESIDE = ("labels", "taught", "continued", "teacher")  # networks in full precision that no chip holds

NETWORK_HISTORY = table(
    "network_history",
    ["network", "epoch"],
    {
        "network": column(
            "str",
            "full precision, fine-tuned with noise, or with noise and ternary weights; beside these, in full "
            "precision: from the labels, taught, continued from another, or a teacher",
            one_of((*NETWORKS, *BESIDE)),
        ),
        "architecture": column("str", "name of the architecture; of a teacher with its width: airbench-w64"),
        "dataset": column("str", "name of the data set"),
    }
    | LEARNING_CURVE
    | {
        "seconds": column("float64", "wall time of the epoch", at_least(0), unit="s"),
    },
)
