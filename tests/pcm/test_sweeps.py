import copy

import numpy as np
import pandas as pd
import pytest
import yaml

from nonideal import rng, tables
from nonideal.pcm import analysis, crossbar, sweeps, theory
from nonideal.schemas import crossbar as schemas

OPTIONS = crossbar.Options(rows=16)


@pytest.fixture(scope="module")
def settings(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())["crossbar"]


@pytest.fixture(scope="module")
def trials(settings):
    small = copy.deepcopy(settings)
    small["figure_4b"]["bases"], small["figure_4c"]["points"], small["ternary"]["points"] = [1, 2], 4, 2
    return sweeps.run(sweeps.sweeps(small), range(30), seed=1, options=OPTIONS)


def test_default_sweeps_are_those_of_the_publication(settings):
    found = {sweep.figure: sweep for sweep in sweeps.sweeps(settings)}
    assert set(found) == {"4a", "4b", "4c", "ternary"}
    assert len(found["4a"].configurations) == 28  # seven methods, four numbers of slices
    assert found["4a"].times_s == (20.0, 2592000.0)
    assert len(found["4c"].times_s) == 12
    assert found["4c"].times_s[0] == 20 and found["4c"].times_s[-1] == pytest.approx(365 * 86400)
    assert {c.base for c in found["4b"].configurations} == set(range(1, 9))
    ternary = {c.mapping for c in found["ternary"].configurations if c.weights == "ternary"}
    assert ternary == {"equal_fill", "max_fill", "max_fill_ec", "digital"}


def test_rows_fit_the_table_and_equal_single_simulations(trials):
    tables.check(trials, schemas.TRIALS)
    configuration = crossbar.Configuration("max_fill_ec", base=2, n_slices=4)
    eta = crossbar.simulate(configuration, [20.0, 2592000.0], range(30), seed=1, options=OPTIONS)
    rows = trials.query("figure == '4a' and mapping == 'max_fill_ec' and base == 2 and n_slices == 4")
    assert np.array_equal(rows.sort_values(["trial", "time_s"])["eta"], eta.ravel())


def test_batches_do_not_show(settings, monkeypatch):
    sweep = sweeps.Sweep("4a", sweeps.grid(("max_fill",), [1], [2, 4]), (20.0,))
    whole = sweeps.run((sweep,), range(3, 10), seed=1, options=OPTIONS)
    monkeypatch.setattr(sweeps, "BATCH", 3)
    batches = sweeps.run((sweep,), range(3, 10), seed=1, options=OPTIONS)
    key = ["mapping", "n_slices", "trial"]
    pd.testing.assert_frame_equal(
        whole.sort_values(key, ignore_index=True), batches.sort_values(key, ignore_index=True)
    )


def test_eq8_tables(trials):
    fits, ratios = analysis.eq8_tables(trials.query("figure == '4a'"))
    tables.check(fits, schemas.EQ8_FIT)
    ratios = tables.check(ratios, schemas.EQ8_RATIOS)
    assert set(ratios.loc[ratios["fitted"], "mapping"]) == {"equal_fill"}
    one = ratios.query("n_slices == 1 and time_s == 20")
    assert np.allclose(one["predicted"], fits.query("time_s == 20")["eta_s"].item())
    assert np.allclose(ratios["ratio"], ratios["simulated"] / ratios["predicted"])
    worst = ratios[ratios["fitted"]].groupby("time_s")["deviation_in_sem"].agg(lambda x: x.abs().max())
    assert np.array_equal(fits.set_index("time_s")["worst_in_sem"], worst)


def test_deviations_of_every_mapping_are_paired(trials):
    # Written out for one configuration that did not enter the fit: the spread of the difference per trial.
    of_figure = trials.query("figure == '4a' and time_s == 20")
    _, ratios = analysis.eq8_tables(of_figure)
    eta = of_figure.pivot(index=["mapping", "base", "n_slices"], columns="trial", values="eta")
    equal = eta.loc["equal_fill"]
    equal = equal[[base == 1 or n > 1 for base, n in equal.index]]
    per_trial = theory.fit_eq8(list(equal.index), equal.to_numpy()).per_trial
    difference = eta.loc[("max_fill", 2, 4)] - theory.eq8_factor(2, 4) * per_trial
    row = ratios.set_index(["mapping", "base", "n_slices"]).loc[("max_fill", 2, 4)]
    assert not row["fitted"]
    assert row["deviation_in_sem"] == pytest.approx(difference.mean() / (difference.std() / np.sqrt(30)))


def test_eq8_is_found_where_it_holds():
    # Independent slices of equal error: the fit must return that error, and find nothing to object to.
    generator = rng.stream(4, "eq8")
    frames = []
    for base in (1, 2):
        for n in (1, 2, 4):
            if n == 1 and base == 2:
                continue
            powers = float(base) ** np.arange(n)
            slices = 1 + 0.1 * generator.standard_normal((4000, n, 64))
            error = (slices * powers[:, None]).sum(1) / powers.sum() - 1
            eta = np.linalg.norm(error, axis=1) / 8
            rows = {"mapping": "equal_fill", "base": base, "n_slices": n, "time_s": 20.0}
            frames.append(pd.DataFrame(rows | {"trial": np.arange(4000), "eta": eta}))
    fits, ratios = analysis.eq8_tables(pd.concat(frames))
    bias = 1 - 1 / (4 * 64)  # mean of a chi-distributed norm over its root mean square
    assert fits["eta_s"].item() == pytest.approx(0.1 * bias, abs=5 * fits["standard_error"].item())
    assert fits["p_error"].item() > 1e-3
    assert ratios["deviation_in_sem"].abs().max() < 4.5


def test_a_missing_trial_is_refused(trials):
    at_once = trials.query("figure == '4a' and time_s == 20")
    lacking = at_once.query("not (mapping == 'digital' and n_slices == 4 and trial == 7)")
    with pytest.raises(ValueError, match="every trial"):
        analysis.eq8_tables(lacking)


def synthetic(first, second):
    frames = [
        pd.DataFrame(
            {
                "mapping": mapping,
                "weights": "gaussian",
                "base": 1,
                "n_slices": 2,
                "time_s": t,
                "trial": k,
                "eta": eta,
            }
            for t, etas in zip((20.0, 200.0, 2000.0), values.T, strict=True)
            for k, eta in enumerate(etas)
        )
        for mapping, values in (("max_fill", first), ("equal_fill", second))
    ]
    return pd.concat(frames)


def test_crossover_is_found_and_named():
    noise = 0.001 * rng.stream(5, "x").standard_normal((50, 3))
    first, second = np.array([0.1, 0.2, 0.3]) + noise, np.array([0.2, 0.2 + 1e-9, 0.2]) + noise
    row = analysis.crossover_table(synthetic(first, second), rng=rng.stream(1, "b")).iloc[0]
    assert (row["first"], row["second"]) == ("max_fill", "equal_fill")
    assert (
        row["time_s"] == pytest.approx(200, rel=1e-3) and row["low_s"] <= 200.001 and row["high_s"] >= 199.999
    )
    row = analysis.crossover_table(synthetic(second + 1, first), rng=rng.stream(1, "b")).iloc[0]
    assert (row["first"], row["second"]) == ("equal_fill", "max_fill")
    assert np.isnan(row["time_s"]) and "no crossover" in row["verdict"]
    assert np.isnan(row["low_s"]) and np.isnan(row["high_s"]) and row["share_with_crossover"] == 0


def test_open_ends_are_missing_in_the_table():
    noise = 0.01 * rng.stream(6, "x").standard_normal((50, 3))
    shape = np.array([0.1, 0.1, 0.2]) + noise - noise.mean(axis=0) + [0, 0, 0.001]
    row = analysis.crossover_table(synthetic(shape, np.full((50, 3), 0.2)), rng=rng.stream(1, "b"))
    tables.check(row, schemas.CROSSOVER)
    assert np.isnan(row["high_s"].item()) and 200 < row["low_s"].item() < row["time_s"].item()
    assert 0.5 < row["share_with_crossover"].item() < 1 and "not bounded above" in row["verdict"].item()


def test_ternary_weights_against_nine_bits(trials):
    found = tables.check(analysis.ternary_table(trials.query("figure == 'ternary'")), schemas.TERNARY)
    assert len(found) == 4 * 3 * 2  # mappings, numbers of slices, times
    first, last = (part for _, part in found.groupby("time_s"))
    assert first["change"].eq(1).all() and first["change_low"].eq(1).all()
    ratio = last["ratio"].to_numpy() / first["ratio"].to_numpy()
    assert last["change"].to_numpy() == pytest.approx(ratio)
    assert (found["ratio_low"] < found["ratio"]).all() and (found["ratio"] < found["ratio_high"]).all()


def test_intervals_of_ternary_weights_cover():
    """95 % intervals of a ratio that is 0.8 at first and 0.9 later cover both in about 95 of 100 studies."""
    generator, covered = rng.stream(3, "studies"), []
    for _ in range(300):
        common = 0.3 * generator.standard_normal((40, 1))  # the same trials for both weights
        frames = []
        for weights, means in (("gaussian", [0.1, 0.2]), ("ternary", [0.08, 0.18])):
            eta = np.array(means) * (1 + common + 0.1 * generator.standard_normal((40, 2)))
            frames += [
                pd.DataFrame({"weights": weights, "time_s": time_s, "trial": range(40), "eta": eta[:, k]})
                for k, time_s in enumerate((20.0, 200.0))
            ]
        rows = pd.concat(frames).assign(mapping="digital", base=2, n_slices=4)
        row = analysis.ternary_table(rows).iloc[1]
        covered.append(
            [row["ratio_low"] <= 0.9 <= row["ratio_high"], row["change_low"] <= 1.125 <= row["change_high"]]
        )
    assert np.mean(covered, axis=0) == pytest.approx([0.95, 0.95], abs=0.04)  # three standard errors
