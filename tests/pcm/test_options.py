import math

import numpy as np
import pytest

from nonideal import rng, stats, tables
from nonideal.pcm import crossbar, options
from nonideal.schemas import crossbar as schemas

TRIALS, TIMES = range(20), [20.0, 2592000.0]
KEY = ["option", "value", "mapping", "weights", "base", "n_slices"]


@pytest.fixture(scope="module")
def compared():
    return options.compare_options(TRIALS, rows=16, n_slices=[1, 4], bases=[1, 2], times_s=TIMES, seed=1)


def test_alternatives_are_the_other_values_where_they_matter():
    found = list(options.alternatives([1, 2, 4], [1, 3], options.PUBLISHED))
    named = [(o, v, c.mapping, c.weights, c.base, c.n_slices) for o, v, c, _ in found]
    correction = [
        ("ec_targets", value, "max_fill_ec", "gaussian", base, n)
        for value in ("physical", "same_sign")
        for base in (1, 3)
        for n in (2, 4)  # a single slice has no error to correct
    ]
    noise = [
        ("read_noise_norm", "g_max", mapping, weights, 1, n)
        for weights in ("gaussian", "ternary")
        for mapping, numbers in (("equal_fill", (1, 2, 4)), ("max_fill", (2, 4)))
        for n in numbers  # one slice is the same in both mappings
    ]
    assert sorted(named) == sorted(correction + noise)
    for option, value, _, changed in found:
        fields = {"rows": 128, "ec_targets": "unbounded", "read_noise_norm": "slice_max"}
        assert vars(changed) == fields | {option: value}


def test_rows_fit_the_table_and_name_every_alternative(compared):
    tables.check(compared, schemas.OPTIONS)
    assert len(compared) == len(TIMES) * len(list(options.alternatives([1, 4], [1, 2], options.PUBLISHED)))
    assert compared["change"].abs().max() > 0.01


def test_change_is_zero_where_the_option_does_nothing():
    # Among 128 x 128 Gaussian weights some are clipped: every slice then holds G_MAX as its largest target.
    settings = {"rows": 128, "n_slices": [1, 4], "bases": [1], "times_s": TIMES, "seed": 1}
    found = options.compare_options(range(3), **settings).query("option == 'read_noise_norm'")
    idle = found["weights"] == "gaussian"
    assert idle.sum() == 6
    changes = found[["change", "change_sem", "change_half_width"]]
    assert (changes[idle] == 0).all(axis=None)
    assert (changes[~idle] > 0).all(axis=None)


@pytest.mark.parametrize(
    "key",
    [
        ("ec_targets", "same_sign", "max_fill_ec", "gaussian", 2, 4),
        ("read_noise_norm", "g_max", "equal_fill", "ternary", 1, 4),
    ],
)
def test_change_equals_a_direct_computation(compared, key):
    option, value, mapping, weights, base, n_slices = key
    configuration = crossbar.Configuration(mapping, weights=weights, base=base, n_slices=n_slices)
    published = crossbar.simulate(configuration, TIMES, TRIALS, seed=1, options=crossbar.Options(rows=16))
    other = crossbar.simulate(
        configuration, TIMES, TRIALS, seed=1, options=crossbar.Options(rows=16, **{option: value})
    )
    rows = compared.set_index([*KEY, "time_s"]).sort_index().loc[key]
    for k, time_s in enumerate(TIMES):
        row, a, b = rows.loc[time_s], published[:, k], other[:, k]
        assert (row["published_choice"], row["mean"]) == pytest.approx((a.mean(), b.mean()))
        assert row["change"] == pytest.approx(b.mean() / a.mean() - 1)
        assert row["change"] != 0
        # The delta method, from variances and covariance.
        (vb, cab), (_, va) = np.cov(b, a)
        ratio = b.mean() / a.mean()
        variance = (vb - 2 * ratio * cab + ratio**2 * va) / a.mean() ** 2 / len(TRIALS)
        assert row["change_sem"] == pytest.approx(math.sqrt(variance), rel=1e-6)
        # 2.093: 97.5 % quantile of Student's t at 19 degrees of freedom.
        assert row["change_half_width"] == pytest.approx(2.093 * row["change_sem"], rel=1e-3)
        # On common random numbers the paired error is the smaller one.
        assert row["change_sem"] < math.sqrt((vb + ratio**2 * va) / len(TRIALS)) / a.mean()


def test_interval_of_a_paired_ratio_covers_as_often_as_it_says():
    repetitions, n = 4000, 25
    generator = rng.stream(1, "test_options")
    common = generator.normal(0.1, 0.01, (repetitions, n))
    reference = common + generator.normal(0, 0.003, (repetitions, n))
    other = 1.2 * common + generator.normal(0, 0.003, (repetitions, n))
    ratio, sem = stats.ratio_of_means(other, reference, axis=1)
    covered = np.abs(ratio - 1.2) < stats.half_width(sem, n)
    assert covered.mean() == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / repetitions))
