"""Tables of the studies of capacity and of clipping."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, table

NETWORK = {
    "dataset": column("str", "name of the data set"),
    "format": column("str", "weight format"),
    "bits": column("float64", "information per weight", above(0), unit="bit"),
}
WIDTH = {"width": column("int64", "width of every hidden layer", at_least(1))}
SEED = {"seed": column("int64", "index of the repetition", at_least(0))}
SEEDS = {"seeds": column("int64", "number of seeds", at_least(1))}
RESULT = {
    "train_loss": column("float64", "mean cross entropy over the last epoch", above(0), unit="nat"),
    "train_accuracy": column("float64", "share of training samples classified correctly", SHARE),
    "test_loss": column("float64", "cross entropy on the test set after the last epoch", unit="nat"),
    "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
}

CAPACITY = table(
    "capacity",
    ["dataset", "format", "width", "seed"],
    NETWORK
    | WIDTH
    | SEED
    | {
        "weights": column("int64", "number of weights", at_least(1)),
        "total_bits": column("float64", "information in all weights", above(0), unit="bit"),
    }
    | RESULT,
)

CAPACITY_FIT = table(
    "capacity_fit",
    ["dataset", "group"],
    {
        "dataset": column("str", "name of the data set"),
        "group": column("str", "weight format, or `pooled` for all of 1 to 4 bit"),
        "slope": column("float64", "exponent k of loss = prefactor * bits^k, over total bits"),
        "low": column("float64", f"lower {INTERVAL} of the slope (Student's t)"),
        "high": column("float64", f"upper {INTERVAL} of the slope (Student's t)"),
        "prefactor": column("float64", "fitted loss at one bit in all", above(0), unit="nat"),
        "points": column("int64", "number of networks", at_least(3)),
    },
)

EQUAL_LOSS = table(
    "capacity_equal_loss",
    ["dataset", "format", "width"],
    NETWORK
    | WIDTH
    | {
        "loss": column(
            "float64", "training loss of 4bitsym at this width, on its line", above(0), unit="nat"
        ),
        "extrapolated": column("bool", "whether no network of the format has a loss that low or that high"),
        "weights_ratio": column(
            "float64",
            "weights needed for that loss, relative to 4bitsym; none if the format's line does not fall",
            above(0),
            nullable=True,
        ),
        "weights_ratio_low": column("float64", f"lower {INTERVAL} of the ratio (Student's t)", nullable=True),
        "weights_ratio_high": column(
            "float64", f"upper {INTERVAL} of the ratio (Student's t)", nullable=True
        ),
        "weights_added": column(
            "float64", "the ratio less 1: share of weights added to those of 4bitsym", nullable=True
        ),
        "weights_added_low": column("float64", f"lower {INTERVAL} of the share", nullable=True),
        "weights_added_high": column("float64", f"upper {INTERVAL} of the share", nullable=True),
        "effective_bits": column(
            "float64",
            "bits per weight at which the pooled line of 1 to 4 bit has the loss of the format's networks of "
            "this width; none if it does not fall",
            unit="bit",
            nullable=True,
        ),
        "effective_bits_low": column(
            "float64", f"lower {INTERVAL} (Student's t), the line taken as exact", unit="bit", nullable=True
        ),
        "effective_bits_high": column(
            "float64", f"upper {INTERVAL} (Student's t), the line taken as exact", unit="bit", nullable=True
        ),
        "points": column("int64", "number of networks of the format", at_least(3)),
    },
)

CLIPPING = {
    "dataset": column("str", "name of the data set"),
    "format": column("str", "weight format"),
    "clipping": column("str", "choice of the weight scale"),
    "quantscale": column(
        "float64",
        "standard deviation of the weights relative to the largest level",
        above(0),
        nullable=True,
    ),
}
ENTROPY = {
    "entropy": column(
        "float64", "entropy of the codes after the last epoch, mean over weights", at_least(0), unit="bit"
    )
}

QUANTSCALE = table("quantscale", [*CLIPPING, "seed"], CLIPPING | SEED | RESULT | ENTROPY)

QUANTSCALE_SUMMARY = table(
    "quantscale_summary",
    list(CLIPPING),
    CLIPPING
    | {
        "accuracy": column("float64", "mean test accuracy over seeds", SHARE),
        "accuracy_low": column("float64", f"lower {INTERVAL} of the mean (cut at 0)", nullable=True),
        "accuracy_high": column("float64", f"upper {INTERVAL} of the mean (cut at 1)", nullable=True),
        "train_loss": column("float64", "mean training loss over seeds", unit="nat"),
        "train_loss_low": column("float64", f"lower {INTERVAL} of the mean", unit="nat", nullable=True),
        "train_loss_high": column("float64", f"upper {INTERVAL} of the mean", unit="nat", nullable=True),
        "entropy": column("float64", "mean entropy of the codes over weights and seeds", unit="bit"),
        "entropy_low": column("float64", f"lower {INTERVAL} of the mean", unit="bit", nullable=True),
        "entropy_high": column("float64", f"upper {INTERVAL} of the mean", unit="bit", nullable=True),
        "size": column("float64", "entropy relative to the bits a weight is stored in", SHARE),
        "suffices": column(
            "bool",
            "lowest entropy whose accuracy is not shown to differ from the best (t test at 5 %)",
        ),
    }
    | SEEDS,
)
