"""Tables that the commands of the library write about a user's network."""

from __future__ import annotations

from nonideal.schemas.columns import SHARE, above, at_least, column, one_of, table
from nonideal.schemas.networks import ERROR, MAPPINGS, STUDENT

STAGES = ("given", "on chip", "on chip, hardened")

DEPLOYMENT = table(
    "deployment",
    ["mapping", "base", "n_slices", "time_s"],
    {
        "mapping": column("str", "how a weight is split over slices", one_of(MAPPINGS)),
        "base": column("int64", "ratio of significance of neighbouring slices, b_W", at_least(1)),
        "n_slices": column("int64", "devices per weight, n_W", at_least(1)),
        "dac_bits": column(
            "float64", "bits of the converters of inputs; missing: ideal", at_least(2), nullable=True
        ),
        "adc_bits": column(
            "float64", "bits of the converters of outputs; missing: ideal", at_least(2), nullable=True
        ),
        "time_s": column("float64", "time after programming", above(0), unit="s"),
        "accuracy_mean": column("float64", "mean accuracy over chips", SHARE),
        "accuracy_half_width": column("float64", STUDENT, at_least(0), nullable=True),
        "accuracy_without_hardware": column("float64", "the same with 9-bit weights and no errors", SHARE),
        "error_mean": column("float64", f"mean over chips: {ERROR}", at_least(0)),
        "error_half_width": column("float64", STUDENT, at_least(0), nullable=True),
        "chips": column("int64", "number of chips", at_least(1)),
        "images": column("int64", "number of test images", at_least(1)),
    },
)

HARDENING = table(
    "hardening",
    ["stage"],
    {
        "stage": column("str", "as given, written to the chip, fine-tuned for the chip", one_of(STAGES)),
        "accuracy": column("float64", "share of test images classified correctly", SHARE),
        "loss": column("float64", "mean cross entropy", at_least(0), unit="nat"),
        "images": column("int64", "number of test images", at_least(1)),
    },
)
