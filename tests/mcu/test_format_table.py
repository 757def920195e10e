import numpy as np
import pandas as pd
import pytest

from nonideal import tables
from nonideal.mcu.formats import format_table
from nonideal.schemas import mcu

BITS = {"float": 32.0, "8bit": 8.0, "ternary": np.log2(3)}


def accuracy(weights, **accuracies):
    """Rows of table accuracy from `method_format=(accuracy of each seed)`."""
    return pd.DataFrame(
        [
            {"dataset": "d", "method": method, "format": name, "bits": BITS[name], "seed": seed}
            | {"test_accuracy": value, "weights": weights}
            for key, values in accuracies.items()
            for method, name in [key.split("_")]
            for seed, value in enumerate(values)
        ]
    )


def kernels():
    rows = []
    for name, sizes in (("8bit", "4-2-2"), ("ternary", "4-3-2")):
        for kernel, cycles in (("plain", 900.0), ("fast", 100.0 if name == "8bit" else 300.0)):
            rows.append(
                {"dataset": "d", "format": name, "kernel": kernel, "sizes": sizes, "test_accuracy": 0.875}
                | {"weight_bytes": 10, "flash_bytes": 20, "ram_bytes": 30, "stack_bytes": 5}
                | {"cycles": cycles, "instructions": cycles / 2, "cycle_images": 1, "verified_images": 1}
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    common = accuracy(
        18,
        float_float=(0.9, 0.92),
        qat_8bit=(0.1, 0.1),
        ptq_8bit=(0.1, 0.1),
        qat_ternary=(0.8, 0.84),
        ptq_ternary=(0.4, 0.5),
    )
    narrow = accuracy(12, float_float=(0.7, 0.72), qat_8bit=(0.69, 0.71), ptq_8bit=(0.68, 0.7))
    made = format_table(kernels(), common, {"8bit": narrow})
    return tables.check(made, mcu.FORMATS).set_index("format")


def test_each_format_has_the_accuracies_of_its_own_widths(table):
    columns = ["weights", "float_mean", "qat_mean", "ptq_mean"]
    assert table.loc["8bit", columns].tolist() == pytest.approx([12, 0.71, 0.7, 0.69])
    assert table.loc["ternary", columns].tolist() == pytest.approx([18, 0.91, 0.82, 0.45])
    assert table["sizes"].to_dict() == {"8bit": "4-2-2", "ternary": "4-3-2"}
    assert table["bits"].to_dict() == {name: BITS[name] for name in ("8bit", "ternary")}


def test_intervals_are_students_and_stay_within_bounds(table):
    half = 12.7062047 * np.std([0.8, 0.84], ddof=1) / 2**0.5
    assert table.loc["ternary", "qat_low"] == pytest.approx(0.82 - half)
    assert table.loc["ternary", "qat_high"] == 1.0  # 0.82 + 0.25 is no accuracy
    assert (table["seeds"] == 2).all()


def test_costs_are_those_of_the_kernels(table):
    assert table["cycles"].to_dict() == {"8bit": 100, "ternary": 300}
    assert table["plain_cycles"].to_dict() == {"8bit": 900, "ternary": 900}
    assert table["speedup"].to_dict() == {"8bit": 9, "ternary": 3}
    assert table["plain_instructions"].to_dict() == {"8bit": 450, "ternary": 450}
