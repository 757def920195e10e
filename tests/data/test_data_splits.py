"""Stratified parts: shares kept, seeded, disjoint where they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonideal import rng
from nonideal.data import Dataset, hold_out, stratified_choice, subset


@pytest.fixture
def dataset():
    labels = rng.stream(1, "labels").choice(4, 400, p=[0.5, 0.3, 0.15, 0.05]).astype(np.int64)
    # Pixel values name the image, so that a mixed-up label shows.
    images = np.arange(400, dtype=np.uint16).view(np.uint8).reshape(400, 1, 1, 2)
    return Dataset("letters", images[:300], labels[:300], images[300:], labels[300:], tuple("abcd"))


def identify(images):
    return images.reshape(-1, 2).copy().view(np.uint16)[:, 0].astype(int)


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=60), data=st.data(), seed=st.integers(0, 3))
def test_choice_keeps_shares_within_one(labels, data, seed):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    chosen = stratified_choice(labels, n, seed, "test")
    assert len(np.unique(chosen)) == n
    assert (np.diff(chosen) > 0).all()
    share = np.bincount(labels) * n / len(labels)
    assert np.abs(np.bincount(labels[chosen], minlength=len(share)) - share).max() < 1


def test_choice_is_uniform_within_a_class():
    labels = np.repeat([0, 1], [10, 30])
    counts = np.zeros(40)
    repeats = 2000
    for seed in range(repeats):
        counts[stratified_choice(labels, 12, seed, "test")] += 1
    # Every position is chosen with probability 12/40 = 0.3; five standard errors.
    assert np.abs(counts / repeats - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / repeats)


def test_largest_remainders_and_ties():
    # Shares 1.5, 1.5, 2: the tie goes to the lower label.
    labels = np.repeat([0, 1, 2], [3, 3, 4])
    assert np.bincount(labels[stratified_choice(labels, 5, 0, "test")]).tolist() == [2, 1, 2]


def test_subset_is_seeded_and_keeps_pairs(dataset):
    small = subset(dataset, train=60, test=20, seed=5)
    assert small.train_images.shape == (60, 1, 1, 2)
    whole = np.concatenate([dataset.train_labels, dataset.test_labels])
    for images, labels, first, last in (
        (small.train_images, small.train_labels, 0, 300),
        (small.test_images, small.test_labels, 300, 400),
    ):
        numbers = identify(images)
        assert first <= numbers.min() and numbers.max() < last
        np.testing.assert_array_equal(labels, whole[numbers])
    again = subset(dataset, train=60, seed=5)
    np.testing.assert_array_equal(again.train_images, small.train_images)
    assert again.test_images is dataset.test_images
    other = subset(dataset, train=60, seed=6)
    assert (identify(other.train_images) != identify(small.train_images)).any()
    assert small.class_names == dataset.class_names


def test_hold_out_divides_the_training_images(dataset):
    held = hold_out(dataset, 50, seed=5)
    train, validation = identify(held.train_images), identify(held.test_images)
    assert sorted([*train, *validation]) == list(range(300))
    assert len(validation) == 50
    np.testing.assert_array_equal(held.test_labels, dataset.train_labels[validation])
    np.testing.assert_array_equal(held.train_labels, dataset.train_labels[train])
    share = np.bincount(dataset.train_labels) * 50 / 300
    assert np.abs(np.bincount(held.test_labels) - share).max() < 1


@pytest.mark.parametrize("n", [0, -1, 301])
def test_impossible_counts_are_refused(dataset, n):
    with pytest.raises(ValueError, match=f"{n} of 300"):
        subset(dataset, train=n, seed=0)
    with pytest.raises(ValueError, match=f"{n} of 300"):
        hold_out(dataset, n, seed=0)


def test_nothing_left_is_refused(dataset):
    with pytest.raises(ValueError, match="at least one must remain"):
        hold_out(dataset, 300, seed=0)
