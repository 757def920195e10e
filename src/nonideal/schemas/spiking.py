"""Tables of the spiking networks' studies."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, LEARNING_CURVE, SHARE, above, at_least, column, one_of, table

# What distinguishes one network from another.
FORMAT = {
    "dataset": column("str", "name of the data set"),
    "method": column("str", "training method", one_of(("float", "qat", "ptq"))),
    "format": column("str", "weight format (`float` for full precision)"),
    "bits": column("float64", "information per weight", above(0), unit="bit"),
}
NETWORK = FORMAT | {"seed": column("int64", "index of the repetition", at_least(0))}

HISTORY = table(
    "spiking_history",
    [*NETWORK, "epoch"],
    NETWORK | LEARNING_CURVE,
)

ZEROS = "share of weights that are zero"
BYTES = "weights as exported for the C engine (4 bytes each for `float`)"
SPIKES = "spikes of all neurons in one inference, mean over the test set"
SPIKE_SHARE = "spikes over chances to spike (neurons times steps)"
INTEGER = "share of test samples that the exported integers classify correctly"

PRECISION = table(
    "spiking_precision",
    list(NETWORK),
    NETWORK
    | {
        "test_loss": column("float64", "cross entropy on the test set after the last epoch", unit="nat"),
        "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
        "integer_accuracy": column("float64", INTEGER, SHARE, nullable=True),
        "weights": column("int64", "number of weights", at_least(1)),
        "zero_share": column("float64", ZEROS, SHARE),
        "weight_bytes": column("int64", BYTES, at_least(1), unit="byte"),
        "spikes": column("float64", SPIKES, at_least(0)),
        "spike_share": column("float64", SPIKE_SHARE, SHARE),
    },
)

GAP = "accuracy of the float network minus that of this one"
CORRECTED = "for shared training recordings by Nadeau and Bengio 2003"
FURTHER = "accuracy after training with the quantiser minus that without"

PRECISION_SUMMARY = table(
    "spiking_precision_summary",
    list(FORMAT),
    FORMAT
    | {
        "mean": column("float64", "mean test accuracy over seeds", SHARE),
        "low": column("float64", f"lower {INTERVAL} of the mean (Student's t)", nullable=True),
        "high": column("float64", f"upper {INTERVAL} of the mean (Student's t)", nullable=True),
        "gap": column("float64", f"{GAP}, mean over seeds"),
        "gap_low": column("float64", f"lower {INTERVAL} of the gap (paired)", nullable=True),
        "gap_high": column("float64", f"upper {INTERVAL} of the gap (paired)", nullable=True),
        "further_loss": column("float64", f"{FURTHER}, mean over seeds", nullable=True),
        "further_low": column("float64", f"lower {INTERVAL} of the further loss (paired)", nullable=True),
        "further_high": column("float64", f"upper {INTERVAL} of the further loss (paired)", nullable=True),
        "integer_accuracy": column("float64", f"{INTEGER}, mean over seeds", SHARE, nullable=True),
        "zero_share": column("float64", f"{ZEROS}, mean over seeds", SHARE),
        "weight_bytes": column("float64", BYTES, above(0), unit="byte"),
        "spikes": column("float64", SPIKES, at_least(0)),
        "spike_share": column("float64", SPIKE_SHARE, SHARE),
        "memory_saved": column("float64", "bytes of 32-bit weights over bytes exported", above(0)),
        "levels": column("float64", "number of values a weight can have", at_least(2)),
        "seeds": column("int64", "number of seeds", at_least(1)),
    },
)

VERIFIED = table(
    "spiking_verified",
    ["dataset", "format"],
    {
        "dataset": column("str", "name of the data set"),
        "format": column("str", "weight format"),
        "sizes": column("str", "inputs, hidden widths and classes"),
        "steps": column("int64", "time steps per inference", at_least(1)),
        "weight_bytes": column("int64", "packed weights", at_least(1), unit="byte"),
        "test_accuracy": column("float64", "share of test images the integers classify correctly", SHARE),
        "samples": column("int64", "inputs on which Python and C agreed", at_least(1)),
        "neuron_steps": column("int64", "spikes and silences that were compared, all equal", at_least(1)),
    },
)

CROSS_VALIDATION = {
    "source": column("str", "data set of recordings; `synthetic`: computed from pictures"),
    "network": column("str", "name of the network"),
    "split": column("str", "what frames have in common: number of events or duration"),
    "format": column("str", "weight format (`float` for full precision)"),
    "bits": column("float64", "information per weight", above(0), unit="bit"),
}

EVENTS = table(
    "spiking_events",
    [*CROSS_VALIDATION, "fold"],
    CROSS_VALIDATION
    | {
        "fold": column("int64", "index of the fold left out", at_least(0)),
        "recordings": column("int64", "recordings tested", at_least(1)),
        "correct": column("int64", "recordings classified correctly", at_least(0)),
        "test_accuracy": column("float64", "share of recordings classified correctly", SHARE),
        "spike_share": column("float64", SPIKE_SHARE, SHARE),
    },
)

EVENTS_SUMMARY = table(
    "spiking_events_summary",
    list(CROSS_VALIDATION),
    CROSS_VALIDATION
    | {
        "recordings": column("int64", "recordings tested, each once", at_least(1)),
        "mean": column("float64", "share of all recordings classified correctly", SHARE),
        "low": column("float64", f"lower {INTERVAL} of the mean over folds (Student's t, {CORRECTED})"),
        "high": column("float64", f"upper {INTERVAL} of the mean over folds (Student's t, {CORRECTED})"),
        "gap": column("float64", f"{GAP}, mean over folds"),
        "gap_low": column("float64", f"lower {INTERVAL} of the gap (paired by fold, {CORRECTED})"),
        "gap_high": column("float64", f"upper {INTERVAL} of the gap (paired by fold, {CORRECTED})"),
        "spike_share": column("float64", SPIKE_SHARE, SHARE),
        "folds": column("int64", "number of folds", at_least(2)),
    },
)
