import pandas as pd
import pytest

from nonideal.cnn_tradeoff import tradeoff
from nonideal.schemas import cnn
from nonideal.tables import check


def programs(**names):
    costs = {"flash_bytes": 1000, "ram_bytes": 300, "stack_bytes": 20, "verified_images": 50}
    return [
        names | costs | {"dataset": "mnist", "kernel": kernel, "cycles": cycles, "instructions": cycles / 2}
        for kernel, cycles in (("fast", 48_000.0), ("plain", 480_000.0))
    ]


def tables(dataset="mnist"):
    accuracy = pd.DataFrame(
        {"channels": 16, "seed": [0, 1], "test_accuracy": [0.98, 0.99], "integer_accuracy": [0.97, 0.99]}
    ).assign(dataset=dataset, weight_bits=4096)
    kernels = pd.DataFrame(programs(channels=16)).assign(mismatches=[2, 3])
    # Accuracies of the widths that the programs have, which are not always those of the other formats.
    formats = pd.DataFrame(
        {"dataset": ["mnist", "digits"], "format": "8bit", "qat_mean": [0.985, 0.5], "seeds": 3}
    ).assign(qat_low=0.97, qat_high=0.995)
    return accuracy, kernels, formats, pd.DataFrame(programs(format="8bit"))


def test_accuracy_is_that_of_the_network_whose_size_and_time_stand_beside_it(root):
    rows = check(tradeoff(*tables(), root / "config/published.csv"), cnn.TRADEOFF).set_index("network")
    connected = rows.loc["8bit"]
    assert (connected["test_accuracy"], connected["low"], connected["high"]) == (0.985, 0.97, 0.995)
    assert (connected["flash_bytes"], connected["ram_bytes"], connected["seeds"]) == (1000, 320, 3)
    assert (connected["time_ms"], connected["plain_cycles"]) == (1.0, 480_000)  # at 48 MHz
    assert connected["instructions"] == 24_000
    convolutional = rows.loc["16 channels"]
    assert convolutional["test_accuracy"] == pytest.approx(0.985)
    assert convolutional["low"] < 0.985 < convolutional["high"] <= 1
    assert convolutional["integer_accuracy"] == pytest.approx(0.98)
    assert (convolutional["weight_bits"], convolutional["mismatches"]) == (4096, 5)  # of both kernels


def test_published_networks_stand_beside_those_on_the_same_data(root):
    published = tradeoff(*tables(), root / "config/published.csv").query("family == 'published'")
    assert set(published["network"]) == {"CNN", "4bitsym"}
    shown = published.set_index("network")[["test_accuracy", "weight_bits", "cycles", "time_ms"]]
    assert shown.loc["CNN", :"weight_bits"].tolist() == pytest.approx([0.9954, 90112])
    assert shown.loc["CNN", "cycles":].isna().all()
    assert shown.loc["4bitsym", "cycles":].tolist() == pytest.approx([650_000, 650_000 / 48_000])
    accuracy, kernels, formats, own = tables("digits")
    rows = tradeoff(accuracy, kernels, formats, own.assign(dataset="digits"), root / "config/published.csv")
    assert set(rows["family"]) == {"cnn", "fully connected"}
