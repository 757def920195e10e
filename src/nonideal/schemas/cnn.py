"""Tables of the study of convolutional networks on the microcontroller."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, LEARNING_CURVE, SHARE, above, at_least, column, one_of, table
from nonideal.schemas.mcu import COUNTED, KERNELS, MEASURED, MODELLED

FAMILIES = ("cnn", "fully connected", "published")

# What distinguishes one width from another.
WIDTH = {
    "dataset": column("str", "name of the data set"),
    "first_format": column("str", "weight format of the first fully connected layer"),
    "channels": column("int64", "channels of the convolutions", at_least(1)),
}
SEED = {"seed": column("int64", "index of the repetition", at_least(0))}

HISTORY = table(
    "cnn_history",
    [*WIDTH, *SEED, "epoch"],
    WIDTH | SEED | LEARNING_CURVE,
)

ACCURACY = table(
    "cnn_accuracy",
    [*WIDTH, *SEED],
    WIDTH
    | SEED
    | {
        "test_loss": column("float64", "cross entropy on the test set after the last epoch", unit="nat"),
        "test_accuracy": column("float64", "share of test images the trained network gets right", SHARE),
        "integer_accuracy": column("float64", "share of test images its integers get right", SHARE),
        "weight_bits": column("int64", "information in all weights", at_least(1), unit="bit"),
    },
)

KERNELS_TABLE = table(
    "cnn_kernels",
    [*WIDTH, "kernel"],
    WIDTH
    | {
        "kernel": column("str", "obvious or fast convolutions and layers", one_of(KERNELS)),
    }
    | MEASURED
    | {
        "mismatches": column("int64", "test images to which C gives another class than Python", at_least(0)),
    },
)

CYCLES = table(
    "cnn_cycles",
    [*WIDTH, "kernel", "instruction_class"],
    WIDTH
    | {
        "kernel": column("str", "obvious or fast convolutions and layers", one_of(KERNELS)),
    }
    | COUNTED,
)

TRADEOFF = table(
    "cnn_tradeoff",
    ["family", "network"],
    {
        "family": column("str", "kind of network, or published values", one_of(FAMILIES)),
        "network": column("str", "channels, weight format, or what was published"),
        "dataset": column("str", "name of the data set"),
        "channels": column("int64", "channels of the convolutions; 0 without convolutions", at_least(0)),
        "test_accuracy": column("float64", "mean share of test images classified correctly", SHARE),
        "low": column("float64", f"lower {INTERVAL} (Student's t, cut at 0 and 1)", nullable=True),
        "high": column("float64", f"upper {INTERVAL} (Student's t, cut at 0 and 1)", nullable=True),
        "seeds": column("int64", "number of seeds; 0 for published values", at_least(0)),
        "integer_accuracy": column(
            "float64", "mean share that the integers classify correctly", SHARE, nullable=True
        ),
        "weight_bits": column("float64", "information in all weights", above(0), unit="bit", nullable=True),
        "flash_bytes": column("float64", "weights, tables and code", above(0), unit="byte", nullable=True),
        "ram_bytes": column(
            "float64", "variables, code in RAM and stack", above(0), unit="byte", nullable=True
        ),
        "cycles": column("float64", MODELLED, above(0), nullable=True),
        "instructions": column("float64", "instructions per image", above(0), nullable=True),
        "plain_cycles": column("float64", f"{MODELLED}, plain kernel", above(0), nullable=True),
        "time_ms": column("float64", "the same at 48 MHz", above(0), unit="ms", nullable=True),
        "verified_images": column(
            "float64", "images on which Python, C and firmware agreed", above(0), nullable=True
        ),
        "mismatches": column(
            "float64", "test images to which C gives another class", at_least(0), nullable=True
        ),
    },
)
