"""Tables drawn from the Monte Carlo trials: Eq. 8 against the simulation, and crossovers in time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nonideal import stats
from nonideal.pcm import crossovers, theory

CONFIGURATION = ["mapping", "base", "n_slices"]


def eq8_tables(trials: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit Eq. 8 to equal-fill at each time and compare it with every configuration.

    Parameters
    ----------
    trials
        Rows of table ``crossbar_trials`` of one sweep.

    Returns
    -------
    fits : pandas.DataFrame
        Rows of table ``eq8_fit``.
    ratios : pandas.DataFrame
        Rows of table ``eq8_ratios``. Mappings other than equal-fill did not enter the fit: Eq. 8 does not
        describe them, and their ratios show by how much.
    """
    fits, ratios = [], []
    for time_s, at_time in trials.groupby("time_s"):
        fit = _fit(at_time)
        compared = _ratios(at_time, fit.per_trial)
        fitted = compared[compared["fitted"]]
        fits.append(
            {
                "time_s": time_s,
                "eta_s": fit.eta_s,
                "standard_error": fit.standard_error,
                "low": fit.low,
                "high": fit.high,
                "dof": fit.degrees,
                "chi2_error": fit.chi2_error,
                "p_error": fit.p_error,
                "worst_in_std": fitted["deviation_in_std"].abs().max(),
                "worst_in_sem": fitted["deviation_in_sem"].abs().max(),
            }
        )
        ratios.append(compared.assign(time_s=time_s))
    return pd.DataFrame(fits), pd.concat(ratios, ignore_index=True)


def _fit(at_time: pd.DataFrame) -> theory.Eq8Fit:
    """Fit of the equal-fill configurations at one time; one slice, the same at every base, enters once."""
    equal = at_time[at_time["mapping"] == "equal_fill"]
    equal = equal[(equal["n_slices"] > 1) | (equal["base"] == equal["base"].min())]
    by_configuration = equal.pivot(index=["base", "n_slices"], columns="trial", values="eta")
    return theory.fit_eq8(list(by_configuration.index), by_configuration.to_numpy())


def _ratios(at_time: pd.DataFrame, per_trial: np.ndarray) -> pd.DataFrame:
    """Compare simulation and Eq. 8 for every configuration at one time."""
    eta = at_time.pivot(index=CONFIGURATION, columns="trial", values="eta")
    mapping = eta.index.get_level_values("mapping")
    compared = theory.compare_eq8(list(eta.index.droplevel("mapping")), eta.to_numpy(), per_trial)
    return compared.assign(mapping=mapping, fitted=mapping == "equal_fill")


def crossover_table(trials: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Find when the better of two mappings changes, for every pair of mappings that differ.

    Parameters
    ----------
    trials
        Rows of table ``crossbar_trials`` of a sweep over time.
    rng
        Generator for the bootstrap over trials.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``crossover``; at one slice all mappings are the same and are left out. ``first`` is
        the mapping with the lower error at first, see `crossovers.pairs`.
    """
    rows = []
    sliced = trials[trials["n_slices"] > 1]
    for (weights, base, n_slices), group in sliced.groupby(["weights", "base", "n_slices"]):
        errors = {
            mapping: of_mapping.pivot(index="trial", columns="time_s", values="eta")
            for mapping, of_mapping in group.groupby("mapping")
        }
        named = {"weights": weights, "base": base, "n_slices": n_slices}
        for first, second, row in crossovers.pairs(errors, rng=rng):
            rows.append({"first": first, "second": second} | named | row)
    return crossovers.table(rows)


def ternary_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Error of ternary weights over that of 9-bit weights, and what becomes of this ratio with time.

    Parameters
    ----------
    trials
        Rows of table ``crossbar_trials`` of a sweep with both weights, whose trials share random numbers.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``crossbar_ternary``: ratios of means, with intervals paired over trials (delta method
        on the logarithm).
    """
    rows = []
    for key, part in trials.groupby(CONFIGURATION):
        errors = part.pivot(index="trial", columns=["weights", "time_s"], values="eta")
        # A trial's share in the logarithm of the ratio of means: [trials, times].
        logarithm = np.log(errors["ternary"].mean()) - np.log(errors["gaussian"].mean())
        shares = errors["ternary"] / errors["ternary"].mean() - errors["gaussian"] / errors["gaussian"].mean()
        first = shares.columns[0]
        for time_s in shares.columns:
            change = logarithm[time_s] - logarithm[first]
            rows.append(
                dict(zip(CONFIGURATION, key, strict=True))
                | {"time_s": time_s}
                | _from_logarithm("ratio", logarithm[time_s], shares[time_s])
                | _from_logarithm("change", change, shares[time_s] - shares[first])
                | {"trials": len(errors)}
            )
    return pd.DataFrame(rows)


def _from_logarithm(name: str, value: float, shares: pd.Series) -> dict[str, float]:
    """A ratio and the ends of its interval, from its logarithm and the trials' shares in it."""
    half = float(stats.half_width(shares.sem(), len(shares)))
    return {name: np.exp(value), f"{name}_low": np.exp(value - half), f"{name}_high": np.exp(value + half)}
