"""Every line of `config/published.csv` finds its row in tables as a run makes them."""

import itertools

import pandas as pd
import pytest
import yaml

from nonideal import compare, tables
from nonideal.published import KEY, read_published
from nonideal.regularised import verdicts
from nonideal.schemas.published import ANSWERED, TRACKS
from nonideal.schemas.registry import declared

MISSING = ("not run", "not compared")
SCALE = {"crossbar": "300 trials", "training": "3 seeds"}


@pytest.fixture(scope="module")
def shipped(root):
    return read_published(root / "config/published.csv")


def test_shipped_list_is_sorted_and_fits_the_table(root, shipped):
    assert len(shipped) > 300
    assert not shipped.duplicated(list(KEY)).any()
    order = list(zip(shipped["track"], shipped["figure"], strict=True))
    assert order == sorted(order)
    assert set(shipped["track"]) == set(TRACKS)
    frame = compare.compare(shipped, {}, SCALE)
    assert set(tables.check(frame, declared("compare_published"))["verdict"]) == set(MISSING)
    assert frame["verdict"].eq("not compared").tolist() == shipped["table"].eq("").tolist()
    text = (root / "config/published.csv").read_bytes()
    assert text.endswith(b"\n") and b"\r" not in text and b" \n" not in text


def filled(name, rows):
    """Rows of a declared table; columns that do not matter here are filled with any allowed value."""
    columns = declared(name).columns
    dull = {c: {"float64": 0.5, "int64": 1}.get(str(columns[c].dtype), "any") for c in columns}
    frame = rows.assign(**{c: value for c, value in dull.items() if c not in rows})
    return tables.check(frame, declared(name))


def crossbar_tables(settings):
    """Tables of a run with these settings of the crossbar; every error is the same."""
    slicing, year = ("equal_fill", "max_fill", "max_fill_ec"), 31536000.0
    a, b, c, ternary = (settings[key] for key in ("figure_4a", "figure_4b", "figure_4c", "ternary"))
    rows = [
        *itertools.product(["4a"], slicing, ["gaussian"], a["bases"], a["n_slices"], a["times_s"]),
        *(("4a", "digital", "gaussian", 2 ** -(-8 // n), n, t) for n in a["n_slices"] for t in a["times_s"]),
        *itertools.product(["4b"], slicing, ["gaussian"], b["bases"], b["n_slices"], b["times_s"]),
        *itertools.product(["4c"], slicing, ["gaussian"], c["bases"], c["n_slices"], [20.0, year]),
    ]
    for weights, n, t in itertools.product(["gaussian", "ternary"], ternary["n_slices"], [20.0, year]):
        rows += [("ternary", mapping, weights, 1, n, t) for mapping in slicing]
        rows += [("ternary", "digital", weights, 2 ** -(-8 // n), n, t)]
    summary = pd.DataFrame(rows, columns=["figure", "mapping", "weights", "base", "n_slices", "time_s"])
    summary = summary.assign(time_s=summary["time_s"].astype(float), trials=100)
    crossover = pd.DataFrame({"n_slices": c["n_slices"]}).assign(
        first="max_fill", second="equal_fill", weights="gaussian", base=1
    )
    return {
        "crossbar/summary.parquet": filled("crossbar_summary", summary),
        "crossbar/crossover.parquet": filled("crossover", crossover),
        "crossbar/ternary.parquet": filled(
            "crossbar_ternary",
            summary[(summary["figure"] == "ternary") & (summary["weights"] == "ternary")]
            .drop(columns=["figure", "weights", "trials"])
            .assign(trials=100),
        ),
        "crossbar/eq8_fit.parquet": filled("eq8_fit", pd.DataFrame({"time_s": [20.0, 2592000.0]})),
    }


def accuracy_table(dataset):
    """Summary of networks of every format on one data set."""
    formats = ("8bit", "4bitsym", "4bit", "2bitsym", "ternary", "binary", "fp130", "nf4")
    frame = pd.DataFrame(
        itertools.product([dataset], ["qat", "ptq"], formats), columns=["dataset", "method", "format"]
    )
    frame = frame.assign(bits=4.0, mean=0.985, low=0.98, high=0.99, seeds=3)
    return {"training/accuracy_summary.parquet": tables.check(frame, declared("accuracy_summary"))}


# Sizes and weights of the networks that are compared; those of the second line are of 12 kbyte.
NARROW = dict.fromkeys(("4bitsym", "fp130", "binary"), ("256-64-64-64-10", 25216))
WIDE = {"binary": ("256-176-160-160-10", 100416), "2bitsym": ("256-112-96-96-10", 49600)}


def study_tables(dataset, wide=False):
    """Tables of the studies of fully connected networks and of their programs."""
    sizes = NARROW | {"8bit": ("256-40-32-32-10", 12864)} | (WIDE if wide else {})
    formats = pd.DataFrame(
        [(dataset, name, *size) for name, size in sizes.items()],
        columns=["dataset", "format", "sizes", "weights"],
    )
    formats = formats.assign(plain_instructions=504320.0, plain_cycles=605184.0)
    kernels = formats.merge(pd.DataFrame({"kernel": ["fast", "plain"]}), how="cross")
    a_byte = kernels["format"].map({"8bit": 1, "2bitsym": 4, "binary": 8}).fillna(2).astype(int)
    kernels["weight_bytes"] = kernels["weights"] // a_byte
    kernels = kernels[["dataset", "format", "kernel", "sizes", "weight_bytes"]]
    entropy = pd.DataFrame(itertools.product([1, 60], [1, 2, 3, 4]), columns=["epoch", "layer"])
    equal = pd.DataFrame(
        itertools.product(["8bit", "4bitsym", "binary", "fp130", "nf4"], [24, 64]),
        columns=["format", "width"],
    ).assign(dataset=dataset, extrapolated=False)
    scan = pd.DataFrame(
        {"clipping": ["proportional"] * 3, "quantscale": [0.125, 0.25, 0.5], "suffices": [False, True, False]}
    )
    scan.loc[len(scan)] = ("octav", float("nan"), False)
    return {
        "firmware/formats.parquet": filled("formats", formats),
        "firmware/kernels.parquet": filled("mcu_kernels", kernels),
        "training/entropy_summary.parquet": filled(
            "entropy_summary", entropy.assign(dataset=dataset, format="4bitsym")
        ),
        "capacity/equal_loss.parquet": filled("capacity_equal_loss", equal.assign(points=3)),
        "quantscale/summary.parquet": filled(
            "quantscale_summary", scan.assign(dataset=dataset, format="4bitsym")
        ),
    }


def regularised_tables(dataset, model="resnet8"):
    """Tables of regularised training; every accuracy is the same."""
    methods = ("fixed", "step", "multiplier", "multiplier_ste", "lsq")
    networks = pd.DataFrame(
        [("float", 32), *itertools.product(methods, [4, 3, 2])], columns=["method", "bits"]
    )
    modes = ("basic", "passive", "active", "active+passive")
    faults = pd.DataFrame(
        itertools.product(modes, [0.0, 0.5], [0.0, 0.05, 0.1, 0.2, 0.3], [4, 3]),
        columns=["mode", "p_stuck1", "rate", "bits"],
    )
    cells = pd.DataFrame(
        itertools.product(["chip_in_loop", "regularised", "unseen_map"], [0.05, 0.1, 0.2, 0.4]),
        columns=["method", "sigma"],
    )
    named = {"dataset": dataset, "model": model}
    bare = networks.assign(**named, seed=0, test_accuracy=0.9)
    measured = named | {"seed": 0, "test_accuracy": 0.9}
    claims = verdicts.claims(bare, faults.assign(**measured), cells.assign(**measured, bits=4), 1.0)
    return {
        "regularised/qat.parquet": filled("regularised_qat_summary", networks.assign(**named)),
        "regularised/faults.parquet": filled("regularised_faults_summary", faults.assign(**named)),
        "regularised/variability.parquet": filled(
            "regularised_variability_summary", cells.assign(**named, bits=4)
        ),
        "regularised/claims.parquet": tables.check(claims, declared("regularised_claims")),
    }


def test_every_wired_line_finds_its_row(root, shipped):
    settings = yaml.safe_load((root / "config/config.yaml").read_text())["crossbar"]
    made = crossbar_tables(settings) | accuracy_table("mnist") | study_tables("mnist")
    made |= regularised_tables("cifar10")
    frame = compare.compare(shipped, made, SCALE)
    # Tables of the other tracks are looked at where they are made, in the tests of the workflow.
    assert set(made) <= set(shipped["table"])
    made_here = shipped["table"].isin(made).to_numpy()
    below = ["dataset == 'imagenet64'", *(sizes for sizes, _ in WIDE.values())]  # tested there
    elsewhere = shipped["where"].str.contains("|".join(below)).to_numpy()
    lost = frame[made_here & ~elsewhere & frame["verdict"].eq("not run")]
    assert lost.empty, lost[["figure", "quantity"]].to_string()
    assert frame[~made_here]["verdict"].isin(MISSING).all()
    accuracies = shipped["table"].eq("training/accuracy_summary.parquet").to_numpy()
    percent = frame[accuracies & frame["unit"].eq("%")]
    assert percent["ours"].eq(98.5).all() and percent["interval"].to_numpy() == pytest.approx(0.5)


def test_networks_on_other_data_are_not_held_against_mnist(shipped):
    frame = compare.compare(shipped, accuracy_table("digits") | regularised_tables("digits"), SCALE)
    assert frame["verdict"].isin(MISSING).all()


def test_lines_of_the_microcontroller_are_computed_as_published(shipped):
    frame = compare.compare(shipped, study_tables("mnist"), SCALE).set_index(["figure", "quantity"])["ours"]
    assert frame["12 kbyte models", "size of the weights, 4 bit"] == 100864
    assert frame["12 kbyte models", "size of the weights, 8 bit"] == 102912
    assert frame["text", "size of the model data"] == 12.3125
    # 48 MHz, 605,184 cycles for 25,216 weights: 24 cycles a weight of two operations.
    assert frame["text", "operations per second, 4bitsym"] == pytest.approx(4)
    assert frame["text", "instructions per weight, 4bitsym"] == pytest.approx(20)
    assert frame["text", "instructions per weight, binary, loop"] == pytest.approx(20)
    for place, quantity in (
        ("text", "multiply instructions"),
        ("verification log", "images on which C and Python disagree"),
    ):
        assert frame[place, quantity] == 0
    wide = compare.compare(shipped, study_tables("mnist", wide=True), SCALE)
    wide = wide.set_index(["figure", "quantity"])["ours"].loc["12 kbyte models"]
    for bits, weights in ((1, 100416), (2, 49600)):
        assert wide[f"number of weights, {bits} bit"] == weights
        assert wide[f"size of the weights, {bits} bit"] == bits * weights


@pytest.mark.parametrize(("model", "lines"), [("resnet18", 31), ("resnet50", 25)])
def test_a_run_on_imagenet_answers_what_was_published_for_its_network(shipped, model, lines):
    made = regularised_tables("imagenet64", model)
    wide = filled(
        "regularised_variability_summary",
        pd.DataFrame(
            [{"dataset": "imagenet64", "model": model, "method": "regularised", "sigma": 0.2, "bits": 6}]
        ),
    )
    cells = pd.concat([made["regularised/variability.parquet"], wide], ignore_index=True)
    frame = compare.compare(
        shipped,
        made | {"regularised/variability.parquet": cells},
        {"regularised": f"imagenet64, {model} of width 64, 3 seeds, 20 or 90 epochs"},
    )
    answered = frame[~frame["verdict"].isin(MISSING)]
    assert len(answered) == lines
    assert not answered["same_scale"].any()  # 64 pixels are not the published size
    tables_of = answered[answered["figure"].str.startswith("Table")]
    other = {"resnet18": "ResNet-50", "resnet50": "ResNet-18"}[model]
    assert not tables_of["published_scale"].str.contains(other).any()
    own = frame[frame["source"].str.endswith(("Table 2", "Table 3", "Table 5", "Table 6"))]
    own = own[own["published_scale"].str.contains("ImageNet") & ~own["published_scale"].str.contains(other)]
    assert own["verdict"].isin(ANSWERED).all()
