"""The track's main statements on the deeper network that the crossbars carry too.

Quantisers, maps, mitigations and course are those of the other studies. All repetitions start from
the one float network of the study of crossbars; they differ in batches and in chips.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from nonideal import data
from nonideal.preprocessing import moments, prepare
from nonideal.regularised import analysis, cell_study, job, study
from nonideal.schemas.regularised import HEADLINE_SUMMARY

WATCHED = 500  # test images shown after every epoch; all of them count after the last


class HeadlineRun(job.Run):
    """What all runs of the job share; the network is one of the crossbars."""

    @classmethod
    def prepared(
        cls, config: Mapping[str, Any], arrays: str | os.PathLike[str], *, seed: int
    ) -> tuple[Mapping[str, Any], job.Examples]:
        """Settings and data of the job.

        Parameters
        ----------
        config
            Section ``regularised`` of the configuration, with the keys of section ``networks`` that name the
            data set and the network under ``networks``.
        arrays
            Prepared data set of the crossbars' networks.
        seed
            Seed of the workflow's run.
        """
        settings = settings_of(config)
        whole = data.load(arrays)
        watched = min(WATCHED, len(whole.test_labels))
        # Chosen for the data set of section `regularised`; this one may have fewer.
        wanted = settings["train_images"]
        train = wanted if 0 < wanted < len(whole.train_labels) else None
        part = data.subset(whole, train=train, test=watched, seed=seed)
        # Normalised as the float network was: by the moments of the whole set.
        mean, std = moments(torch.from_numpy(whole.train_images))
        normalised = {"size": config["networks"]["pixels"], "mean": mean, "std": std}
        return settings, job.with_test_images(prepare(part, **normalised), whole, normalised)


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the studies, with what section ``headline`` says instead."""
    headline, networks = config["headline"], config["networks"]
    course = {key: headline[key] for key in ("epochs", "learning_rate") if headline[key] is not None}
    return dict(config) | {
        "dataset": networks["dataset"],
        "model": networks["architecture"],
        "width": networks["width"],
        "qat": config["qat"] | course | {"bits": headline["bits"]},
        "faults": config["faults"] | course | {"rates": [headline["rate"]]},
        "variability": config["variability"]
        | course
        | {"bits": headline["bits"], "sigmas": [headline["sigma"]]},
    }


def rows(run: HeadlineRun, state: job.State) -> Iterator[dict[str, Any]]:
    """Train and measure everything: rows of table ``regularised_headline``.

    Parameters
    ----------
    run
        The job.
    state
        State of the float network.
    """
    floats = dict.fromkeys(range(run.config["seeds"]), state)
    plain = {"p_stuck1": 0.0, "condition": 0.0}
    model = run.network(0)
    model.load_state_dict(state)
    row = run.labels(0) | {"method": "float", "bits": analysis.FULL_PRECISION}
    yield row | {"study": "quantisation", **plain} | run.measure(model)
    states: dict[tuple[int, int], job.State] = {}
    for method in run.config["headline"]["methods"]:
        for bits, repetition, trained, row in study.qat(run, floats, method):
            if method == "multiplier":
                states[bits, repetition] = trained
            yield row | {"study": "quantisation", **plain}
    yield from _on_cells(run, states)


def _on_cells(run: HeadlineRun, states: Mapping[tuple[int, int], job.State]) -> Iterator[dict[str, Any]]:
    """Stuck and variable cells, from the networks trained with multipliers."""
    p_stuck1 = run.config["headline"]["p_stuck1"]
    for bits in run.config["headline"]["bits"]:
        part = replace(run, folder=run.folder / f"faults-{bits}")
        for row in cell_study.with_faults(part, states, bits, p_stuck1):
            yield _renamed(row, "faults", mode="method", rate="condition")
    for method in ("chip_in_loop", "regularised"):
        for row in cell_study.with_variability(run, states, method):
            yield _renamed(row | {"p_stuck1": 0.0}, "variability", sigma="condition")


def _renamed(row: Mapping[str, Any], study_name: str, **names: str) -> dict[str, Any]:
    """Row of one study in the columns of the common table."""
    return {names.get(key, key): value for key, value in row.items()} | {"study": study_name}


def frame(found: Iterator[dict[str, Any]]) -> pd.DataFrame:
    """Table ``regularised_headline`` of the rows."""
    return pd.DataFrame(found).drop(columns="validation_accuracy")


def summary(networks: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_headline_summary``: means over seeds, and changes against full precision.

    All seeds start from the one float network: its row has no interval, and the intervals of the changes are
    those of batches and cells alone.

    Parameters
    ----------
    networks
        Table ``regularised_headline``.
    """
    trained_once = networks[networks["method"] == "float"]
    floats = trained_once.drop(columns="seed").merge(networks[["seed"]].drop_duplicates(), how="cross")
    return analysis.summary(networks, floats, HEADLINE_SUMMARY.unique)
