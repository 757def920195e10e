import numpy as np
import pandas as pd
import pytest

from nonideal import rng, stats


def test_summary_of_known_numbers():
    frame = pd.DataFrame({"group": ["a", "a", "a", "b"], "x": [1.0, 2.0, 6.0, 5.0]})
    summary = stats.summarise(frame, ["group"], "x").set_index("group")
    assert summary.loc["a", "mean"] == 3 and summary.loc["a", "count"] == 3
    assert summary.loc["a", "std"] == pytest.approx(np.sqrt(7))
    assert summary.loc["a", "sem"] == pytest.approx(np.sqrt(7 / 3))
    assert np.isnan(summary.loc["b", "std"])


def test_missing_values_do_not_count():
    some, all_of_them = pd.Series([1.0, 2.0, np.nan, np.nan]), pd.Series([1.0, 2.0])
    assert stats.ends(some) == stats.ends(all_of_them) and stats.sem_of_folds(some) == stats.sem_of_folds(
        all_of_them
    )
    summary = stats.summarise(pd.DataFrame({"group": "a", "x": some}), ["group"], "x").iloc[0]
    assert (summary["count"], summary["sem"]) == (2, pytest.approx(all_of_them.sem()))


def test_interval_covers_as_often_as_it_says():
    samples = rng.stream(1, "coverage").normal(3, 2, size=(20000, 4))
    half = stats.half_width(samples.std(1, ddof=1) / 2, np.full(20000, 4))
    covered = np.abs(samples.mean(1) - 3) < half
    assert abs(covered.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 20000)


def test_one_value_has_no_interval():
    assert np.isnan(stats.half_width(np.array([0.1]), np.array([1]))).all()
    assert np.isnan(stats.interval(0.9, np.nan, 1, share=True)).all()


def test_ends_are_those_of_the_interval_of_the_mean():
    values = pd.Series([0.8, 0.9, 1.0])
    half = stats.half_width(0.1 / np.sqrt(3), 3)
    assert stats.ends(values) == pytest.approx((0.9 - half, 0.9 + half))
    assert stats.ends(values, share=True) == pytest.approx((0.9 - half, 1))
    assert np.isnan(stats.ends(values[:1])).all() and np.isnan(stats.ends(values[:0])).all()


def test_error_of_a_mean_over_folds_counts_the_shared_training_data():
    values = pd.Series([0.8, 0.9, 1.0, 0.9])
    assert stats.sem_of_folds(values) == pytest.approx(values.std() * np.sqrt(1 / 4 + 1 / 3))
    assert stats.sem_of_folds(values) > values.sem()
    assert np.isnan(stats.sem_of_folds(values[:1])) and np.isnan(stats.sem_of_folds(values[:0]))


def test_intervals_of_shares_end_at_their_bounds():
    half = stats.half_width(0.05, 3)
    assert stats.interval(0.9, 0.05, 3) == pytest.approx((0.9 - half, 0.9 + half))
    assert stats.interval(0.9, 0.05, 3, share=True) == pytest.approx((0.9 - half, 1))
    assert stats.interval(0.1, 0.05, 3, share=True) == pytest.approx((0, 0.1 + half))
