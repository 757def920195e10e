"""Sections of the configuration as single networks and jobs see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# As `pcm.networks.GROUP`, which this module does not load: a configuration is read in no time.
CHIP_GROUP = 5
# As in `schemas.network_history.NETWORKS`.
ON_CHIPS = ("float", "noise_aware", "ternary")
# Of one of ``networks.others``, where it differs from ``networks.float``.
OWN_KEYS = (
    "batch_size",
    "cutout",
    "learning_rate",
    "sharpness",
    "sharpness_share",
    "still_share",
    "threads",
)


def groups_of(chips: int) -> int:
    """How many groups of `CHIP_GROUP` chips there are, the last of them perhaps smaller."""
    return -(-chips // CHIP_GROUP)


def chip_shard(chips: int, shards: int, shard: int) -> list[int]:
    """First and one past the last chip of a shard: whole groups, so that no row depends on the division."""
    first, stop = (CHIP_GROUP * (groups_of(chips) * (shard + step) // shards) for step in (0, 1))
    return [first, min(stop, chips)]


def kind_of(other: Mapping[str, Any]) -> str:
    """How one of ``networks.others`` is trained, as the tables name it."""
    return "taught" if other["taught"] else "continued" if other.get("continued") else "labels"


def other_section(networks: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``networks`` as it is for one of ``networks.others``: with its own settings."""
    recipe = networks["float"]
    own = {
        "epochs": other["epochs"],
        "small": recipe["small"] | {"share": other["small_share"]},
        "averaging": recipe["averaging"] | {"epochs": other["averaging_epochs"]},
        "taught": other["taught"],
    } | {key: other[key] for key in OWN_KEYS if key in other}
    start = {"start": other["continued"]} if "continued" in other else {}
    return dict(networks) | {"architecture": other["architecture"], "float": recipe | own} | start


def teacher_section(networks: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``networks`` as it is for one of ``networks.teachers``: with its own settings.

    The rest is as for the float network, but it is not taught, on whole images, and no weights are averaged.
    """
    recipe = networks["float"]
    own = {key: teacher[key] for key in ("epochs", "batch_size", "learning_rate", "threads")} | {
        "small": recipe["small"] | {"share": 0},
        "averaging": recipe["averaging"] | {"epochs": 0},
        "taught": False,
    }
    names = {key: teacher[key] for key in ("name", "architecture", "width")}
    return dict(networks) | names | {"float": recipe | own}
