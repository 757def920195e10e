"""What the workflow shows, as the README and the page of a run list it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd


class Target(NamedTuple):
    """A target of the workflow.

    Parameters
    ----------
    name
        Name of the rule.
    shows
        What it shows, in words.
    place
        Figure, track or beginning of the names of our tables in the list of published values; empty if none
        is compared.
    rules
        All rules whose jobs it needs, data sets apart (of networks that are taught, teachers apart).
    example
        Quantity in the list of published values, at `place`, that stands for the target.
    """

    name: str
    shows: str
    place: str
    rules: tuple[str, ...]
    example: str = ""

    def published(self, compared: pd.DataFrame) -> pd.Series:
        """Which rows of table ``compare_published`` belong to the target."""
        named = (compared["figure"] == self.place) | (compared["track"] == self.place)
        return named | (compared["table"].fillna("").str.startswith(self.place) & bool(self.place))

    def minutes(self, seconds: Mapping[str, Mapping[str, float]]) -> float | None:
        """Processor minutes of it and the rules it needs; None if one of them was not measured.

        Parameters
        ----------
        seconds
            What each rule took, as `nonideal.reference.timings` returns.
        """
        spent = self._spent(seconds)
        return None if spent is None else sum(took["processor_s"] for took in spent) / 60

    def two_cores(self, seconds: Mapping[str, Mapping[str, float]]) -> float | None:
        """Estimated minutes on two free cores; None if a rule was not measured.

        Rules one after the other, the jobs of each two at a time, but none faster than its longest job. What
        the longest takes of the rule's processor time is taken from its share of the wall time, since jobs of
        the run measured shared their cores with others.

        Parameters
        ----------
        seconds
            As for `minutes`.
        """
        spent = self._spent(seconds)
        if spent is None:
            return None
        shares = (max(0.5, took["longest_s"] / took["wall_s"] if took["wall_s"] else 1.0) for took in spent)
        return sum(took["processor_s"] * share for took, share in zip(spent, shares, strict=True)) / 60

    def _spent(self, seconds: Mapping[str, Mapping[str, float]]) -> list[Mapping[str, float]] | None:
        # A table is written by the job that makes it.
        rules = (*self.rules, *([self.name] if self.name.startswith("figure") else []))
        return [seconds[rule] for rule in rules] if all(rule in seconds for rule in rules) else None


CROSSBAR = ("crossbar_trials", "crossbar_summary")
TRAINING = ("train", "train_float", "post_training", "accuracy")
FIRMWARE = (*TRAINING, "train_widths", "firmware_format", "firmware_tables")
CNN = (*FIRMWARE, "train_cnn", "firmware_cnn", "cnn_tradeoff")
NETWORKS = ("train_network", "network_references", "network_chips", "network_summary")
QUANTISED = ("regularised_float", "regularised_qat")
INSPECTION = (*QUANTISED, "regularised_inspection")
REGULARISED = (*QUANTISED, "regularised_faults", "regularised_variability", "regularised_summary")
SPIKING_CELLS = ("spiking_multiplier", "spiking_faults", "spiking_variability", "spiking_cells")
SPIKING = ("spiking_float", "spiking_format")
TARGETS = (
    Target(
        "figure_4a",
        "error against devices per weight",
        "Fig. 4a",
        CROSSBAR,
        "error ratio max-fill b=1 / equal-fill b=1, 8 slices, t0",
    ),
    Target(
        "figure_4b",
        "error against the base of the slices",
        "Fig. 4b",
        CROSSBAR,
        "error ratio max-fill EC b=1 / b=2, 4 slices, t0",
    ),
    Target(
        "figure_4c",
        "error over a year",
        "Fig. 4c",
        CROSSBAR,
        "crossover time max-fill to equal-fill, b=1, 8 slices",
    ),
    Target(
        "figure_ternary",
        "ternary weights on the crossbar",
        "ternary extension",
        CROSSBAR,
        "error ratio ternary / Gaussian weights relative to t0, equal-fill b=1, 8 slices, one year",
    ),
    Target(
        "table_eq8",
        "simulation over Eq. 8 for every configuration",
        "Eq. 8",
        CROSSBAR,
        "error ratio 2 slices / 1 slice, equal-fill b=1, t0",
    ),
    Target(
        "table_crossover",
        "times at which the better mapping changes",
        "crossbar/crossover",
        CROSSBAR,
        "crossover time max-fill to equal-fill, b=1, 8 slices",
    ),
    Target("table_options", "cost of what the publication leaves open", "", ("crossbar_options",)),
    Target(
        "figure_bits",
        "accuracy against bits, QAT and PTQ",
        "training/accuracy",
        TRAINING,
        "accuracy, 4bitsym QAT",
    ),
    Target(
        "figure_ptq_qat",
        "what training with the quantiser gains, all formats",
        "QAT vs post-training plot",
        TRAINING,
        "accuracy ratio QAT / after training, 2bitsym",
    ),
    Target(
        "figure_entropy",
        "use of a format's levels while training",
        "training/entropy",
        ("train", "weights"),
        "entropy of the codes, layer 1",
    ),
    Target("figure_first_layer", "weights of the first layer as images", "", ("train", "weights")),
    Target(
        "figure_capacity",
        "training loss against bits in all weights",
        "capacity/",
        ("capacity",),
        "weights ratio binary / 4bitsym, at the loss of narrow 4bitsym networks",
    ),
    Target(
        "figure_quantscale",
        "scan of the weight scale",
        "quantscale/",
        ("quantscale",),
        "training loss ratio OCTAV / quantscale 0.25, 4bitsym",
    ),
    Target(
        "table_formats",
        "verified firmware: bytes and cycles per format",
        "firmware/",
        FIRMWARE,
        "cycles per image, 4bitsym, loop over weights",
    ),
    Target(
        "figure_flash_faults",
        "networks in a flash with stuck bits",
        "",
        ("train", "flash_faults", "flash_summary"),
    ),
    Target(
        "figure_cnn_tradeoff",
        "convolutional networks: accuracy, flash, time",
        "cnn/",
        CNN,
        "accuracy of the C engine, CNN",
    ),
    Target(
        "figure_5a", "networks on chips over a year", "Fig. 5a", NETWORKS, "accuracy, max-fill b=1, one year"
    ),
    Target(
        "figure_5c",
        "networks on chips, five mappings",
        "Fig. 5c",
        NETWORKS,
        "accuracy, equal-fill b=1, one month",
    ),
    Target("figure_noise_training", "networks on chips, with and without noise in training", "", NETWORKS),
    Target("figure_ternary_networks", "ternary networks on chips", "", NETWORKS),
    Target(
        "table_pcm_ablation",
        "networks: cost of what the literature leaves open",
        "",
        ("train_network", "network_options"),
    ),
    Target(
        "table_qat",
        "fixed, stepped and learned levels",
        "Table 1",
        REGULARISED,
        "accuracy against full precision, Biswas et al., N-multipliers, W4/A4",
    ),
    Target(
        "figure_faults",
        "networks trained for stuck cells",
        "Table 5",
        REGULARISED,
        "accuracy against full precision, Biswas et al., VGG-13, CIFAR-10, 3-bit, 20 % bit faults",
    ),
    Target(
        "figure_variability",
        "networks trained for varying cells",
        "Table 6",
        REGULARISED,
        "accuracy against full precision, Biswas et al., VGG-13, CIFAR-10, 4-bit, 20 % variability",
    ),
    Target(
        "table_pcm_multipliers",
        "learned multipliers on phase-change cells",
        "",
        (*QUANTISED, "regularised_pcm", "regularised_pcm_summary"),
    ),
    Target(
        "table_headline",
        "stuck-at faults and variation on ResNet-20",
        "",
        ("train_network", "regularised_headline"),
    ),
    Target(
        "table_claims",
        "verdict on each claim about regularised training",
        "regularised/claims",
        REGULARISED,
        "bit-fault rate tolerated, VGG-13, 4-bit",
    ),
    Target("figure_quantiser", "levels, thresholds and loss of a quantiser", "", INSPECTION),
    Target("figure_level_sets", "levels that stuck and varying cells leave", "", INSPECTION),
    Target("figure_multipliers", "learned multipliers, bit-serial inference", "", INSPECTION),
    Target(
        "figure_snn_precision",
        "spiking networks against bits",
        "precision table",
        (*SPIKING, "spiking_precision"),
        "accuracy lost by QAT, 16-bit Q8.8, at most",
    ),
    Target(
        "figure_snn_faults",
        "spiking networks on stuck and varying cells",
        "",
        (SPIKING[0], *SPIKING_CELLS),
    ),
    Target(
        "table_snn_events",
        "event recordings, five-fold",
        "spiking/events",
        ("spiking_recordings", "spiking_events_format", "spiking_events"),
    ),
    Target(
        "table_fpga",
        "spiking layers as circuits",
        "fpga",
        (*SPIKING, "spiking_verify", "fpga_tools", "fpga_format", "fpga_table"),
        "LUTs, ternary layer",
    ),
)


def evidence(row: Mapping[str, Any]) -> str:
    """Target that shows a row of table ``compare_published``: by its figure, table or track; else empty."""
    for column, fits in (("figure", str.__eq__), ("table", str.startswith), ("track", str.__eq__)):
        for target in TARGETS:
            if target.place and fits(row[column], target.place):
                return target.name
    return ""
