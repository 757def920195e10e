import math

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.stats
from test_bits import CONFIG

from nonideal import capacity, quantscale, recipe, tables, weights
from nonideal.quantize.formats import FORMATS
from nonideal.schemas import capacity as schemas
from nonideal.schemas.training import CODE_ENTROPY, ENTROPY_SUMMARY

SLOPE, SHIFTS = -0.8, {"4bitsym": 1.0, "2bitsym": 1.0, "binary": 1.0, "8bit": 1.5}


def networks(noise=0.0):
    """Losses on a power law of total bits, times the format's shift."""
    rows, generator = [], np.random.default_rng(3)
    for name, shift in SHIFTS.items():
        for weights_, seed in ((1000, 0), (1000, 1), (4000, 0), (4000, 1), (16000, 0)):
            total = weights_ * FORMATS[name].bits
            loss = shift * 50 * total**SLOPE * math.exp(noise * generator.standard_normal())
            rows.append(
                {"dataset": "made up", "format": name, "bits": FORMATS[name].bits, "width": weights_}
                | {"seed": seed, "weights": weights_, "total_bits": total, "train_loss": loss}
            )
    return pd.DataFrame(rows)


def test_the_fit_finds_the_power_law():
    fit = tables.check(capacity.fit(networks()), schemas.CAPACITY_FIT).set_index("group")
    for name, shift in (SHIFTS | {"pooled": 1.0}).items():
        assert fit.loc[name, "slope"] == pytest.approx(SLOPE)
        assert fit.loc[name, "prefactor"] == pytest.approx(50 * shift)
    assert fit["points"].to_dict() == {"4bitsym": 5, "2bitsym": 5, "binary": 5, "8bit": 5, "pooled": 15}


def test_the_interval_is_that_of_a_linear_regression():
    frame = networks(noise=0.2)
    fit = capacity.fit(frame).set_index("group").loc["pooled"]
    part = frame[frame["bits"] <= 4]
    line = scipy.stats.linregress(np.log(part["total_bits"]), np.log(part["train_loss"]))
    half = scipy.stats.t.ppf(0.975, len(part) - 2) * line.stderr
    assert [fit["slope"], fit["low"], fit["high"]] == pytest.approx(
        [line.slope, line.slope - half, line.slope + half]
    )


def test_equal_loss_in_weights_and_in_bits():
    every = tables.check(capacity.equal_loss(networks()), schemas.EQUAL_LOSS)
    found = every[every["width"] == 4000].set_index("format")
    assert every["loss"].nunique() == 3 and not every.query("format == '4bitsym'")["extrapolated"].any()
    assert found["loss"].to_numpy() == pytest.approx(50 * (4000 * 4) ** SLOPE)
    # The losses of binary networks end at 50 * 16000 ** SLOPE, that of 4bitsym with 4000 weights.
    assert every[every["format"] == "binary"]["extrapolated"].tolist() == [False, False, True]
    # At equal loss a binary weight is worth a quarter of a 4-bit one, whatever the slope.
    assert found["weights_ratio"].to_dict() == pytest.approx(
        {"4bitsym": 1, "2bitsym": 2, "binary": 4, "8bit": 0.5 * 1.5 ** (-1 / SLOPE)}
    )
    # A loss 1.5 times as high is that of bits fewer by 1.5 ** (1 / slope).
    assert found.loc["8bit", "effective_bits"] == pytest.approx(8 * 1.5 ** (1 / SLOPE))
    assert found.loc["4bitsym", "effective_bits"] == pytest.approx(4)
    assert found.loc["4bitsym", ["weights_ratio_low", "weights_ratio_high"]].tolist() == [1, 1]
    assert found.loc["binary", "weights_added"] == pytest.approx(3)


def test_the_interval_of_the_ratio_is_that_of_a_fit_for_it():
    frame = networks(noise=0.2)
    frame.loc[frame["format"] == "binary", "train_loss"] *= frame["weights"] ** 0.1  # falls more slowly
    names = ["2bitsym", "8bit", "binary"]
    place = [names.index(name) if name in names else -1 for name in frame["format"]]
    at = math.log(1000)

    def line(x, loss, *rest):
        """Lines through the reference's loss; each format has it at exp(shift) times the weights."""
        shifts, slopes = np.array([*rest[:3], 0.0]), np.array(rest[3:])
        return loss + slopes[place] * (x - at - shifts[place])

    x, y = np.log(frame["weights"].to_numpy()), np.log(frame["train_loss"].to_numpy())
    value, covariance = scipy.optimize.curve_fit(line, x, y, p0=[-1, 0, 0, 0, -1, -1, -1, -1])
    found = capacity.equal_loss(frame).query("format == 'binary' and width == 1000").iloc[0]
    half = scipy.stats.t.ppf(0.975, len(x) - 8) * covariance[3, 3] ** 0.5
    assert np.log(
        [found["loss"], found["weights_ratio"], found["weights_ratio_low"], found["weights_ratio_high"]]
    ) == pytest.approx([value[0], value[3], value[3] - half, value[3] + half], rel=1e-4)


def test_the_interval_of_the_bits_is_over_seeds():
    frame = networks()
    frame.loc[(frame["width"] == 1000) & (frame["seed"] == 1), "train_loss"] *= 1.1
    found = capacity.equal_loss(frame).query("format == '8bit' and width == 1000").iloc[0]
    line = capacity.fit(frame).set_index("group").loc["pooled"]
    loss = frame.query("format == '8bit' and width == 1000")["train_loss"]
    bits = np.log((loss / line["prefactor"]) ** (1 / line["slope"]) / 1000)
    half = 12.7062047 * bits.std() / 2**0.5
    assert np.log(found[["effective_bits", "effective_bits_low", "effective_bits_high"]].tolist()) == (
        pytest.approx([bits.mean(), bits.mean() - half, bits.mean() + half])
    )


def test_the_ratio_depends_on_the_loss_where_slopes_differ():
    frame = networks()
    frame.loc[frame["format"] == "binary", "train_loss"] *= frame["weights"] ** 0.1  # falls more slowly
    found = capacity.equal_loss(frame).query("format == 'binary'").set_index("width")["weights_ratio"]
    needed = {width: (4 * width) ** (SLOPE / (SLOPE + 0.1)) for width in (1000, 4000, 16000)}
    assert found.to_dict() == pytest.approx({width: count / width for width, count in needed.items()})


def test_a_line_that_does_not_fall_gives_no_bits():
    frame = networks()
    frame["train_loss"] = 0.1 * frame["weights"] ** 0.1
    found = tables.check(capacity.equal_loss(frame), schemas.EQUAL_LOSS)
    assert found["effective_bits"].isna().all()
    assert found[found["format"] != "4bitsym"]["weights_ratio"].isna().all()


def test_too_few_networks_are_refused():
    frame = networks()
    with pytest.raises(ValueError, match="'binary' has 2 networks, a fitted slope needs three"):
        capacity.fit(frame[(frame["format"] != "binary") | (frame["weights"] < 2000)])
    with pytest.raises(ValueError, match=r"'pooled' has 0 networks.*add formats of up to 4 bit"):
        capacity.fit(frame[frame["format"] == "8bit"])
    with pytest.raises(ValueError, match="one width only"):
        capacity.fit(pd.concat(3 * [frame[frame["weights"] == 1000]]))
    with pytest.raises(ValueError, match="'4bitsym' is missing"):
        capacity.equal_loss(frame[frame["format"] != "4bitsym"])


def test_every_format_and_width_is_trained(digits, tmp_path):
    study = {"formats": ["4bitsym", "ternary"], "widths": [3, 5], "seeds": 2, "epochs": 1}
    own = {"augmented_copies": 0, "optimiser": "sgd", "learning_rate": 0.02}
    wanted = capacity.variants(CONFIG | {"widths": [9, 9]}, study | own)
    assert all(own.items() <= variant.config.items() for variant in wanted)
    trained = recipe.train_variants(wanted, digits, seed=1, progress=tmp_path, fingerprint="a" * 64)
    found = tables.check(capacity.measured(trained), schemas.CAPACITY)
    assert len(found) == 8
    wide = found.query("format == 'ternary' and width == 5")
    assert wide["weights"].tolist() == [256 * 5 + 5 * 5 + 5 * 10] * 2
    assert wide["total_bits"].tolist() == pytest.approx([1355 * math.log2(3)] * 2)
    assert wide["train_loss"].nunique() == 2  # the seeds differ


def test_the_scan_trains_every_scale(digits, tmp_path):
    scan = {"format": "4bitsym", "values": [0.05, 0.4], "references": ["octav"], "seeds": 2, "epochs": 2}
    wanted = quantscale.variants(CONFIG, scan)
    trained = recipe.train_variants(wanted, digits, seed=1, progress=tmp_path, fingerprint="a" * 64)
    rows = tables.check(quantscale.measured(trained), schemas.QUANTSCALE)
    assert len(rows) == 6
    entropy = rows.groupby(["clipping", "quantscale"], dropna=False)["entropy"].mean()
    assert entropy["proportional", 0.05] < entropy["proportional", 0.4] - 1  # narrow: few levels in use
    summary = tables.check(quantscale.summarise(rows), schemas.QUANTSCALE_SUMMARY)
    assert summary["suffices"].sum() == 1 and summary["seeds"].tolist() == [2, 2, 2]


def scanned(*groups):
    """Table rows of (quantscale, entropy, accuracies)."""
    rows = [
        {"dataset": "d", "format": "4bitsym", "clipping": "proportional", "quantscale": value}
        | {"seed": seed, "train_loss": 0.1, "test_accuracy": accuracy, "entropy": entropy}
        for value, entropy, accuracies in groups
        for seed, accuracy in enumerate(accuracies)
    ]
    return pd.DataFrame(rows)


def test_the_lowest_entropy_that_suffices():
    frame = scanned(
        (0.1, 2.0, [0.900, 0.901, 0.902]),  # clearly worse
        (0.2, 3.0, [0.949, 0.951, 0.952]),  # as good as the best
        (0.4, 3.6, [0.950, 0.951, 0.954]),
    )
    summary = quantscale.summarise(frame).set_index("quantscale")
    assert summary["suffices"].to_dict() == {0.1: False, 0.2: True, 0.4: False}
    assert summary.loc[0.2, "size"] == 3 / 4
    pd.testing.assert_frame_equal(quantscale.summarise(frame[::-1]).set_index("quantscale"), summary)
    other = quantscale.summarise(frame.assign(format="nf4", test_accuracy=[0.98, 0.99, 1.0] * 3))
    assert other["size"].tolist() == [2 / 4, 3 / 4, 3.6 / 4] and (other["accuracy_high"] == 1).all()
    assert quantscale.summarise(frame.assign(format="8bit"))["size"].tolist() == [2 / 8, 3 / 8, 3.6 / 8]
    assert summary.loc[0.2, ["entropy_low", "entropy_high"]].tolist() == [3, 3]
    assert summary.loc[0.2, "accuracy"] == pytest.approx(0.9506667)
    half = 4.302653 * np.std([0.949, 0.951, 0.952], ddof=1) / 3**0.5
    assert summary.loc[0.2, "accuracy_high"] == pytest.approx(0.9506667 + half)


def test_what_suffices_is_judged_by_the_scatter_of_all():
    """The least significant difference, worked out by hand from the two-way table of settings and seeds."""
    # Seeds differ far more than settings do, alike for all of them.
    groups = [(0.1, 2.0, [0.50, 0.60, 0.70]), (0.2, 3.0, [0.58, 0.67, 0.79]), (0.4, 3.6, [0.60, 0.71, 0.79])]
    values = np.array([accuracies for *_, accuracies in groups])
    rest = values - values.mean(axis=1)[:, None] - values.mean(axis=0) + values.mean()
    least = scipy.stats.t.ppf(0.975, 4) * (2 / 3 * (rest**2).sum() / 4) ** 0.5
    behind = values.mean(axis=1).max() - values.mean(axis=1)
    assert behind[0] > least > behind[1] > 0
    summary = quantscale.summarise(scanned(*groups)).set_index("quantscale")
    assert summary["suffices"].to_dict() == {0.1: False, 0.2: True, 0.4: False}
    turned = pd.concat([scanned(groups[0])[::-1], scanned(*groups[1:])])  # paired by seed, not by place
    assert quantscale.summarise(turned)["suffices"].tolist() == [False, True, False]
    # A setting as bad as the first, whose best happens to scatter, does not suffice for that.
    groups[2] = (0.4, 3.6, [0.60, 0.77, 0.73])
    assert not quantscale.summarise(scanned(*groups)).set_index("quantscale").loc[0.1, "suffices"]


def test_one_seed_leaves_the_best_alone():
    summary = quantscale.summarise(scanned((0.1, 2.0, [0.94]), (0.2, 3.0, [0.95]))).set_index("quantscale")
    assert summary["suffices"].to_dict() == {0.1: False, 0.2: True}
    assert summary["accuracy_low"].isna().all()


def test_entropies_over_seeds():
    usage = pd.DataFrame(
        [
            {"dataset": "d", "method": "qat", "format": "binary", "bits": 1.0, "seed": seed, "epoch": 1}
            | {"layer": 1, "code": code, "share": share}
            for seed, low in ((0, 0.5), (1, 0.25))
            for code, share in ((-1, low), (1, 1 - low))
        ]
    )
    entropy, summary = weights.entropies(usage)
    assert len(tables.check(entropy, CODE_ENTROPY)) == 2
    row = tables.check(summary, ENTROPY_SUMMARY).iloc[0]
    values = [1.0, 0.25 * 2 + 0.75 * math.log2(4 / 3)]
    assert row["entropy"] == pytest.approx(np.mean(values)) and row["seeds"] == 2
    half = 12.7062047 * np.std(values, ddof=1) / 2**0.5
    assert row["entropy_high"] == pytest.approx(np.mean(values) + half)
    assert row["entropy_low"] == pytest.approx(np.mean(values) - half)
