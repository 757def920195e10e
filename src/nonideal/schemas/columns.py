"""What the declarations of tables are made of."""

from __future__ import annotations

import pandera.pandas as pa

INTERVAL = "end of the 95 % interval"
SHARE = pa.Check.in_range(0, 1)


def column(dtype: str, description: str, *checks: pa.Check, unit: str = "", **options: object) -> pa.Column:
    """Column of a table, with the unit of its values (empty for counts, ratios and names)."""
    return pa.Column(dtype, list(checks), description=description, metadata={"unit": unit}, **options)


def table(name: str, key: list[str], columns: dict[str, pa.Column]) -> pa.DataFrameSchema:
    """Closed schema whose rows are identified, and sorted, by the columns of `key`."""
    return pa.DataFrameSchema(columns, name=name, strict=True, ordered=True, unique=key)


def at_least(minimum: float) -> pa.Check:
    """Lower bound of a column's values, bound included."""
    return pa.Check.ge(minimum)


def above(minimum: float) -> pa.Check:
    """Lower bound of a column's values, bound excluded."""
    return pa.Check.gt(minimum)


def one_of(values: tuple[str, ...]) -> pa.Check:
    """Allowed names of a column."""
    return pa.Check.isin(list(values))


# What the training loop records of an epoch.
LEARNING_CURVE = {
    "epoch": column("int64", "epoch, counted from 1", at_least(1)),
    "learning_rate": column("float64", "learning rate at the start of the epoch", at_least(0)),
    "train_loss": column("float64", "mean cross entropy over the epoch", unit="nat"),
    "train_accuracy": column("float64", "share of training samples classified correctly", SHARE),
    "test_loss": column("float64", "cross entropy on the test set", unit="nat"),
    "test_accuracy": column("float64", "share of test samples classified correctly", SHARE),
}
