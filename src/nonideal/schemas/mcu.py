"""Tables of the microcontroller study."""

from __future__ import annotations

from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, one_of, table

KERNELS = ("plain", "fast")
FLASH_METHODS = ("unaware", "nearest", "basic", "passive", "active", "active+passive", "trained")
CLASSES = ("arithmetic", "load", "store", "branch", "branch_taken", "jump")
MODELLED = "modelled cycles per image on the CH32V003 at 48 MHz"

# What distinguishes one program from another.
PROGRAM = {
    "dataset": column("str", "name of the data set"),
    "format": column("str", "weight format"),
    "kernel": column("str", "weight-walking or activation-walking kernel", one_of(KERNELS)),
}

# What is measured of a program.
MEASURED = {
    "weight_bytes": column("int64", "packed weights", at_least(1), unit="byte"),
    "flash_bytes": column("int64", "weights, tables and code", at_least(1), unit="byte"),
    "ram_bytes": column("int64", "variables and code in RAM, without the stack", at_least(1), unit="byte"),
    "stack_bytes": column("int64", "largest stack seen by the emulator", at_least(1), unit="byte"),
    "cycles": column("float64", MODELLED, above(0)),
    "instructions": column("float64", "instructions per image", above(0)),
    "cycle_images": column("int64", "images on which cycles were counted", at_least(1)),
    "verified_images": column("int64", "images on which Python, C and firmware agreed", at_least(1)),
}
COUNTED = {
    "instruction_class": column("str", "class of instructions", one_of(CLASSES)),
    "instructions": column("float64", "instructions per image", at_least(0)),
    "cycles": column("float64", MODELLED, at_least(0)),
}

KERNELS_TABLE = table(
    "mcu_kernels",
    list(PROGRAM),
    PROGRAM
    | {
        "sizes": column("str", "inputs, hidden widths and classes"),
        "test_accuracy": column("float64", "share of test images the integers classify correctly", SHARE),
    }
    | MEASURED,
)

CYCLES = table(
    "mcu_cycles",
    [*PROGRAM, "instruction_class"],
    PROGRAM | COUNTED,
)

ACCURACIES = {
    f"{method}_{part}": column(
        "float64", f"{meaning} test accuracy of {networks}", SHARE, nullable=part != "mean"
    )
    for method, networks in (
        ("float", "the networks in full precision"),
        ("ptq", "those networks with weights on the format's grid, without further training"),
        ("qat", "networks trained on the grid"),
    )
    for part, meaning in (
        ("mean", "mean"),
        ("low", "lower end of the 95 % interval of the"),
        ("high", "upper end of the 95 % interval of the"),
    )
}

FORMATS = table(
    "formats",
    ["dataset", "format"],
    {
        "dataset": PROGRAM["dataset"],
        "format": PROGRAM["format"],
        "bits": column("float64", "information per weight", above(0), unit="bit"),
        "sizes": column("str", "inputs, hidden widths and classes"),
        "weights": column("int64", "number of weights", at_least(1)),
    }
    | ACCURACIES
    | {
        "seeds": column("int64", "number of seeds behind the means", at_least(1)),
        "integer_accuracy": column(
            "float64", "share of test images that the integers of the first seed classify correctly", SHARE
        ),
        "weight_bytes": column("int64", "packed weights of the fast kernel", at_least(1), unit="byte"),
        "flash_bytes": column("int64", "weights, tables and code", at_least(1), unit="byte"),
        "ram_bytes": column(
            "int64", "variables and code in RAM, without the stack", at_least(1), unit="byte"
        ),
        "cycles": column("float64", f"{MODELLED}, fast kernel", above(0)),
        "instructions": column("float64", "instructions per image, fast kernel", above(0)),
        "plain_cycles": column("float64", f"{MODELLED}, weight-walking kernel", above(0)),
        "plain_instructions": column("float64", "instructions per image, weight-walking kernel", above(0)),
        "speedup": column(
            "float64", "modelled cycles of the weight-walking kernel over the fast one", above(0)
        ),
    },
)

FLASH_KEY = PROGRAM | {
    "method": column("str", "what is written, and whether it was trained for the map", one_of(FLASH_METHODS)),
    "p_stuck1": column("float64", "share of the stuck bits that is stuck at 1", SHARE),
    "rate": column("float64", "share of the bits of flash that is stuck", SHARE),
}
FLASH_RUNS = table(
    "flash_faults",
    [*FLASH_KEY, "seed"],
    FLASH_KEY
    | {
        "seed": column("int64", "index of the repetition, with a map of its own", at_least(0)),
        "sound_accuracy": column(
            "float64", "share of test images classified correctly, were no bit of the flash stuck", SHARE
        ),
        "test_accuracy": column(
            "float64", "share of test images that the integers in the damaged flash classify correctly", SHARE
        ),
        "changed_weights": column(
            "float64", "share of the weights that differ from those on a sound flash", SHARE
        ),
        "weight_bytes": column("int64", "packed weights", at_least(1), unit="byte"),
        "verified_images": column(
            "int64", "images on which C, given the damaged words, agreed in every logit", at_least(1)
        ),
    },
)
FLASH_SUMMARY = table(
    "flash_faults_summary",
    list(FLASH_KEY),
    FLASH_KEY
    | {
        "mean": column("float64", "mean test accuracy over seeds, damaged flash", SHARE),
        "low": column("float64", f"lower {INTERVAL} (Student's t, cut at 0 and 1)", nullable=True),
        "high": column("float64", f"upper {INTERVAL} (Student's t, cut at 0 and 1)", nullable=True),
        "sound_mean": column("float64", "mean test accuracy of the same networks on a sound flash", SHARE),
        "change": column(
            "float64", "accuracy against the unaware network on a sound flash, paired over seeds",
            unit="points",
        ),
        "change_low": column("float64", f"lower {INTERVAL} of the change", unit="points", nullable=True),
        "change_high": column("float64", f"upper {INTERVAL} of the change", unit="points", nullable=True),
        "changed_weights": column(
            "float64", "mean share of the weights that differ from those on a sound flash", SHARE
        ),
        "seeds": column("int64", "number of seeds, each with a map of its own", at_least(1)),
    },
)  # fmt: skip
