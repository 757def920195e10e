"""Tables of the study of networks on phase-change memory."""

from __future__ import annotations

from nonideal.schemas import network_history
from nonideal.schemas.columns import INTERVAL, SHARE, above, at_least, column, one_of, table
from nonideal.schemas.network_history import NETWORKS

MAPPINGS = ("equal_fill", "max_fill", "max_fill_ec", "digital")
STUDENT = "half width of the 95 % interval of the mean, Student's t"
ERROR = "relative error of the logits, |logits_hat - logits| / |logits| over all images"
TIME = column("float64", "time after programming", above(0), unit="s")
CHIPS = column("int64", "number of chips", at_least(2))
DATASET = column("str", "name of the data set")


def _configuration(prefix: str = "", about: str = "") -> dict:
    return {
        f"{prefix}mapping": column("str", f"how a weight is split over slices{about}", one_of(MAPPINGS)),
        f"{prefix}base": column(
            "int64", f"ratio of significance of neighbouring slices, b_W{about}", at_least(1)
        ),
        f"{prefix}n_slices": column("int64", f"devices per weight, n_W{about}", at_least(1)),
    }


NETWORK = column(
    "str", "full precision, fine-tuned with noise, or with noise and ternary weights", one_of(NETWORKS)
)
KEY = {"network": NETWORK, **_configuration(), "time_s": TIME}
PAIR = {**_configuration("first_", ", first"), **_configuration("second_", ", second")}

NETWORK_CURVES = table(
    "network_curves",
    list(network_history.NETWORK_HISTORY.unique),
    {name: part for name, part in network_history.NETWORK_HISTORY.columns.items() if name != "seconds"},
)

NETWORK_CHIPS = table(
    "network_chips",
    [*KEY, "chip"],
    KEY
    | {
        "chip": column("int64", "number of the chip", at_least(0)),
        "accuracy": column("float64", "share of test images classified correctly", SHARE),
        "logit_error": column("float64", ERROR, at_least(0)),
    },
)

NETWORK_REFERENCES = table(
    "network_references",
    ["network"],
    {
        "network": NETWORK,
        "dataset": DATASET,
        "accuracy": column("float64", "accuracy without hardware, on the images the chips see", SHARE),
        "accuracy_quantised": column("float64", "the same with weights of 9 bits", SHARE),
        "accuracy_all_images": column("float64", "accuracy without hardware, on all test images", SHARE),
        "images": column("int64", "images the chips see", at_least(1)),
        "all_images": column("int64", "all test images", at_least(1)),
    },
)

NETWORK_SUMMARY = table(
    "network_summary",
    list(KEY),
    KEY
    | {
        "dataset": DATASET,
        "accuracy_mean": column("float64", "mean accuracy over chips", SHARE),
        "accuracy_std": column("float64", "standard deviation of the accuracy over chips", at_least(0)),
        "accuracy_sem": column("float64", "standard error of the mean accuracy", at_least(0)),
        "accuracy_half_width": column("float64", STUDENT, at_least(0)),
        "error_mean": column("float64", f"mean over chips: {ERROR}", at_least(0)),
        "error_std": column("float64", "standard deviation of the logit error over chips", at_least(0)),
        "error_sem": column("float64", "standard error of the mean logit error", at_least(0)),
        "error_half_width": column("float64", STUDENT, at_least(0)),
        "kept": column("float64", "mean accuracy over that of the float network", at_least(0)),
        "kept_half_width": column("float64", STUDENT, at_least(0)),
        "chips": CHIPS,
    },
)

NETWORK_DIFFERENCES = table(
    "network_differences",
    [*PAIR, "time_s"],
    PAIR
    | {
        "time_s": TIME,
        "dataset": DATASET,
        "accuracy_difference": column(
            "float64", "mean of accuracy of the first less the second, paired by chip"
        ),
        "accuracy_difference_sem": column("float64", "its standard error", at_least(0)),
        "accuracy_difference_half_width": column("float64", STUDENT, at_least(0)),
        "error_difference": column(
            "float64", "mean of logit error of the first less the second, paired by chip"
        ),
        "error_difference_sem": column("float64", "its standard error", at_least(0)),
        "error_difference_half_width": column("float64", STUDENT, at_least(0)),
        "chips": CHIPS,
    },
)

NETWORK_CROSSOVER = table(
    "network_crossover",
    ["measure", *PAIR],
    {"measure": column("str", "what is compared", one_of(("accuracy", "logit_error")))}
    | PAIR
    | {
        "time_s": column("float64", "time of equal means", above(0), unit="s", nullable=True),
        "low_s": column("float64", f"lower {INTERVAL}", above(0), unit="s", nullable=True),
        "high_s": column("float64", f"upper {INTERVAL}", above(0), unit="s", nullable=True),
        "share_with_crossover": column(
            "float64", "share of bootstrap samples with this crossover (with any, if there is none)", SHARE
        ),
        "verdict": column("str", "the result in words; error means wrong images for accuracy"),
    },
)

NETWORK_OPTIONS = table(
    "network_options",
    ["option", "value", *_configuration(), "time_s"],
    {
        "option": column("str", "what is chosen differently"),
        "value": column("str", "its value, compared with the choice of the published crossbar runs"),
        **_configuration(),
        "time_s": TIME,
        "error": column("float64", f"mean with the published choice: {ERROR}", at_least(0)),
        "error_change": column("float64", "relative change of the logit error with this value"),
        "error_change_half_width": column("float64", f"paired; {STUDENT}", at_least(0)),
        "accuracy": column("float64", "mean accuracy with the published choice", SHARE),
        "accuracy_change": column("float64", "change of the mean accuracy with this value"),
        "accuracy_change_half_width": column("float64", f"paired; {STUDENT}", at_least(0)),
        "chips": CHIPS,
    },
)
