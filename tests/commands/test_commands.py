"""The command line: what is written, printed, refused, and the exit status."""

import argparse
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import torch

import nonideal
from nonideal import cellmaps, tables
from nonideal.__main__ import COMMANDS, main, make_parser
from nonideal.commands import compare, deploy, harden, targets
from nonideal.mcu.export import export, load
from nonideal.models import saved
from nonideal.models.cnn import cnn
from nonideal.models.fc import fc
from nonideal.pcm.hardware import Hardware
from nonideal.rng import torch_stream
from nonideal.schemas.library import DEPLOYMENT, HARDENING
from nonideal.schemas.published import COMPARISON
from nonideal.targets import TARGETS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    example = re.search(r"\nexample:\n  nonideal (.*)\n$", capsys.readouterr().out)[1]
    assert make_parser([name]).parse_args(shlex.split(example)).command == name


def test_list_knows_every_figure_and_table(root, command, monkeypatch):
    monkeypatch.chdir(root / "workflow/rules")
    lines = list(targets.targets(targets.find_checkout(root / "workflow/rules")))
    names = {name for name, *_ in lines}
    captions = {path.stem for path in (root / "workflow/report").glob("*.rst")}
    shown = {name for name in captions if name.startswith(("figure_", "table_"))}
    assert shown | {"compare_published"} == names - set(targets._groups(root))
    assert {target.name for target in TARGETS} <= names
    assert {"all", "results", "crossbar"} <= names and all(shows for _, _, shows, _ in lines)
    minutes = {name: minutes for name, minutes, *_ in lines}
    table = re.search("<!-- targets -->.*<!-- /targets -->", (root / "README.md").read_text(), re.S)[0]
    found = command("list", "crossbar")[1]
    assert "figure_4c" in found and "figure_5a" not in found  # by their study, not by their words
    stated = re.findall(r"\| `(\w+)` \| .* \| ([\d.]+) \|$", table, re.M)
    assert len(stated) > 5 and all(minutes[name] == f"{spent} min" for name, spent in stated)


def test_list_outside_a_checkout(command, refused):
    status, out, _ = command("list")
    assert status == 0 and "No checkout of the project here" in out and "figure_4a" in out
    assert all("figure_4" in line for line in command("list", "figure_4")[1].splitlines()[:3])
    assert "no target speaks of 'unicorns'" in refused("list", "unicorns")


def test_export_writes_what_the_library_writes(command, network, model_file, images, tmp_path):
    status, out, _ = command("export", model_file, "--output", "a", "--data", images)
    assert status == 0 and "layer 2:" in out
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["model.h", "model.json", "model.npz"]
    found = load(tmp_path / "a/model.npz")
    assert (tmp_path / "a/model.h").read_text() == export(network, found.images).header()
    pixels = np.load(images)["test_images"][:4].reshape(4, -1)
    assert (found.images.argmax(axis=1) == pixels.argmax(axis=1)).all()


def test_export_with_the_engine(command, model_file, tmp_path):
    status, out, _ = command("export", model_file, "--format", "h", "--engine", "--output", "a")
    assert status == 0 and "engine: " in out and "-I include" in out
    copied = {path.name for path in (tmp_path / "a/engine").rglob("*.?")}
    assert {"nonideal.h", "network.c"} <= copied


@pytest.mark.parametrize("options", [("--pixels", 8), ("--mean", 0.1), ("--std", 0.3, 0.3, 0.3)])
def test_options_on_images_that_are_not_given_are_refused(refused, model_file, taught, options):
    for name, network in (("export", model_file), ("harden", taught[0])):
        output = () if name == "export" else ("--output", "h.pt")
        assert f"{options[0]}: says how to read images" in refused(name, network, *output, *options)


def test_export_of_one_format(command, model_file, tmp_path):
    status, _, _ = command("export", model_file, "--format", "h", "--name", "mine", "--kernel", "plain")
    assert status == 0 and "ni_plain_ternary" in (tmp_path / "mine.h").read_text()
    assert not list(tmp_path.glob("mine.npz")) and not list(tmp_path.glob("mine.json"))


def test_export_of_a_float_network_quantised_on_the_way(command, tmp_path):
    settings = {"input_pixels": 64, "widths": [5], "weight_format": "float", "activation_bits": None}
    saved.save(fc(generator=torch_stream(1, "init"), **settings), tmp_path / "f.pt", "fc", **settings)
    status, out, _ = command("export", "f.pt", "--quantise", "8bit", "--format", "npz")
    assert status == 0 and out.count("8bit") == 2
    assert {layer.weight_format for layer in load(tmp_path / "model.npz").network.layers} == {"8bit"}


def test_a_network_is_saved_with_its_own_settings_only(tmp_path):
    network = fc(generator=torch_stream(1, "init"), widths=[5], weight_format="nf4")
    for settings in ({}, {"weight_format": "4bitsym"}, {"weight_format": "nf4", "activation_bits": 4}):
        with pytest.raises(ValueError, match="is not the network given"):
            saved.save(network, tmp_path / "x.pt", "fc", widths=[5], **settings)
    saved.save(network.eval(), tmp_path / "x.pt", "fc", widths=[5], weight_format="nf4")


def test_export_refuses(refused, model_file, taught, tmp_path):
    assert "absent.pt: no such file" in refused("export", "absent.pt")
    assert "a name without folders" in refused("export", model_file, "--name", "a/b")
    assert "this is a Sequential" in refused("export", taught[0])
    assert "goes with MODULE:CALLABLE" in refused("export", model_file, "--state", "x.pt")
    saved.save(
        fc(generator=torch_stream(1, "init"), widths=[5], weight_format="float"),
        tmp_path / "float.pt",
        "fc",
        widths=[5],
        weight_format="float",
    )
    assert "float.pt: a float network has no integers; give --quantise" in refused("export", "float.pt")
    assert "is on ternary; leave it out" in refused("export", model_file, "--quantise", "binary")
    (tmp_path / "model.json").mkdir()
    assert "model.json: is a folder" in refused("export", model_file)
    (tmp_path / "model.json").rmdir()
    assert "nothing can be written in" in refused("export", model_file, "--output", model_file)
    assert "no such folder or file, and no data set" in refused("export", model_file, "--data", "nonsense")
    assert not list(tmp_path.glob("model.*"))


def test_deploy(command, taught, images, tmp_path):
    place, state = taught
    given = ("deploy", place, "--state", state, "--data", images, "--chips", 3, "--times", "30d", "20", "1h")
    status, out, _ = command(*given, "--slices", 2, "--output", "t.csv")
    assert status == 0 and "30 d" in out and "64 images" in out
    frame = pd.read_csv(tmp_path / "t.csv")
    assert frame["time_s"].tolist() == [20, 3600, 2592000] and (frame["images"] == 64).all()
    assert frame["accuracy_without_hardware"][0] > 0.9 and frame["error_mean"].is_monotonic_increasing
    assert (frame["accuracy_half_width"] >= 0).all()
    status, _, err = command(*given, "--slices", 2, "--output", "t.parquet")
    pd.testing.assert_frame_equal(tables.read(tmp_path / "t.parquet", DEPLOYMENT), frame)
    assert "no --state" not in err
    _, fewer, _ = command(*given, "--slices", 2, "--digital", "1", "5")
    assert (
        fewer != out and "no nn.Linear or nn.Conv2d layer is called '7'" in command(*given, "--digital", 7)[2]
    )
    short = ("deploy", place, "--data", images, "--chips", 1, "--images", 5)
    assert f"no --state: with the weights that {place} starts with" in command(*short)[2]


def test_deploy_has_the_options_of_the_devices():
    def hardware(*options):
        parsed = make_parser(["deploy"]).parse_args(["deploy", "n.pt", "--data", "digits", *options])
        return deploy.hardware(parsed)

    assert hardware() == Hardware()
    for options, wanted in (
        (("--ec-targets", "same_sign"), Hardware(ec_targets="same_sign")),
        (("--read-noise-norm", "g_max"), Hardware(read_noise_norm="g_max")),
        (("--pairs",), Hardware(pairs=True)),
        (("--non-negative",), Hardware(non_negative=True)),
        (("--compensation", "column"), Hardware(compensation="column")),
        (("--dac-bits", "8", "--adc-bits", "6"), Hardware(dac_bits=8, adc_bits=6)),
    ):
        assert hardware(*options) == wanted


def test_harden_names_matrices_that_lie_on_no_cells():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LSTM(8, 4), torch.nn.Linear(4, 8))
    said = harden.selected(nonideal.harden(model, faults=0.1, layers="all"))
    recurrent = 4 * 4 * (8 + 4)
    assert said == (
        f"quantised: 2 of 2 layers, {100 * 96 / (96 + recurrent):.0f} % of the weights; "
        "1.weight_ih_l0, 1.weight_hh_l0 stay in full precision, on no cells"
    )


def test_images_are_normalised_as_the_network_was_trained(command, taught, images, tmp_path):
    place, state = taught
    given = ("deploy", place, "--state", state, "--data", images, "--chips", 1, "--slices", 1)
    pixels = np.load(images)["train_images"] / 255
    own = {"mean": pixels.mean(), "std": pixels.std()}
    _, usual, err = command(*given)
    assert f"mean {own['mean']:.4g} and standard deviation {own['std']:.4g} of pixels" in err
    assert command(*given, "--mean", own["mean"], "--std", own["std"])[1] == usual
    status, other, err = command(*given, "--mean", 0.9, "--std", 0.1)
    assert status == 0 and other != usual and "mean 0.9 and standard deviation 0.1" in err
    assert "give both mean and std" in command(*given, "--mean", 0.9)[2]
    assert "one finite value for each of 1 channels" in command(*given, "--mean", 0, 0, "--std", 1, 1)[2]


def test_a_file_called_as_a_data_set_has_its_own_moments(command, model_file, images):
    end = ("--chips", 1, "--slices", 1)
    usual = command("deploy", model_file, "--data", images, *end)
    renamed = images.rename(images.with_name("mnist.npz"))
    assert command("deploy", model_file, "--data", renamed, *end) == usual
    assert f"mean {(np.load(renamed)['train_images'] / 255).mean():.4g} and" in usual[2]


@pytest.mark.parametrize(("name", "value"), [("mean", 30), ("mean", -0.1), ("std", 80)])
def test_moments_of_another_scale_are_refused(refused, model_file, images, name, value):
    moments = {"mean": 0.2, "std": 0.3} | {name: value}
    given = [text for key, number in moments.items() for text in (f"--{key}", number)]
    said = refused("deploy", model_file, "--data", images, *given)
    assert f"--{name} {value}: is of pixels from 0 to 1" in said and "by 255" in said


@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_states_of_other_programs_are_unwrapped(command, taught, images, key):
    place, path = taught
    given = ("deploy", place, "--state", path, "--data", images, "--chips", 1, "--slices", 1)
    usual = command(*given)[1]
    wrapped = {f"module.{name}": value for name, value in torch.load(path, weights_only=True).items()}
    torch.save(wrapped if key is None else {key: wrapped, "epoch": 3}, path)
    assert command(*given)[:2] == (0, usual)


def test_deploy_behind_converters(command, taught, images, tmp_path):
    place, state = taught
    given = (
        "deploy",
        place,
        "--state",
        state,
        "--data",
        images,
        "--chips",
        3,
        "--times",
        "20s",
        "--slices",
        2,
    )
    errors = {}
    for name, more in {
        "ideal": (),
        "fine": ("--dac-bits", 12, "--adc-bits", 12),
        "coarse": ("--dac-bits", 12, "--adc-bits", 3),
        "clipped": ("--dac-bits", 12, "--adc-bits", 3, "--converter-quantile", 0.5),
    }.items():
        status, out, _ = command(*given, *more, "--output", "t.csv")
        frame = pd.read_csv(tmp_path / "t.csv")
        assert status == 0 and ("converters: " in out) == bool(more)
        errors[name] = frame["error_mean"][0]
        assert frame["adc_bits"].isna().all() if not more else frame["adc_bits"][0] == more[3]
    assert "converters: 12 bits for inputs, 3 bits for outputs of every slice" in out
    assert errors["fine"] == pytest.approx(errors["ideal"], rel=0.1)
    assert errors["coarse"] > 1.2 * errors["fine"] and errors["clipped"] != errors["coarse"]


def test_deploy_of_one_chip_and_of_digital_slices(command, model_file, images):
    status, out, _ = command(
        "deploy", model_file, "--data", images, "--mapping", "digital", "--chips", 1, "--images", 5
    )
    assert status == 0 and "digital, base 4, 4 devices" in out and "±" not in out and "5 images" in out


def test_deploy_says_what_of_a_cnn_is_on_no_chip(command, images, tmp_path):
    settings = {"channels": 2, "widths": [5]}
    saved.save(cnn(generator=torch_stream(1, "init"), **settings), tmp_path / "cnn.pt", "cnn", **settings)
    status, _, err = command("deploy", "cnn.pt", "--data", images, "--chips", 1, "--images", 5)
    assert status == 0 and "3 filter banks stay digital; the fully connected layers lie on the chips" in err


def test_deploy_says_which_layers_cannot_lie_on_chips(command, module, images, tmp_path):
    layers = "nn.Flatten(2), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(124, 10)"
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write(f"\ndef signals():\n    return nn.Sequential({layers})\n")
    given = ("deploy", f"{module}:signals", "--data", images, "--chips", 1, "--slices", 1)
    assert "chips hold nn.Linear and nn.Conv2d alone: 1 (Conv1d)" in command(*given)[2]
    assert "stay digital" not in command("deploy", f"{module}:build", *given[2:])[2]


def test_a_network_that_returns_no_tensor_is_refused(command, module, images):
    status, _, said = command("deploy", f"{module}:Pair", "--data", images)
    assert status == 2 and "Traceback" not in said
    assert "the network's output for one image is a tuple; it must be [1, classes]" in said


def test_deploy_refuses(refused, model_file, taught, images, tmp_path):
    given = ("deploy", model_file, "--data", images)
    assert "ending in .csv or .parquet" in refused(*given, "--output", "t.txt")
    assert "'5s' is no time from 20 s to 1000 y" in refused(*given, "--times", "5s")
    assert "'1e300y' is no time" in refused(*given, "--times", "1e300y")
    assert "--repetition: does not apply" in refused("deploy", taught[0], "--data", images, "--repetition", 1)
    assert "holds one network; leave it out" in refused(*given, "--repetition", 1)
    assert "--weight-format 8bit: the network of" in refused(*given, "--weight-format", "8bit")
    assert "'soon' is no time" in refused(*given, "--times", "soon")
    assert "n_slices must be an integer from 1 to 8" in refused(*given, "--slices", 9)
    assert "digital slicing derives its base" in refused(*given, "--mapping", "digital", "--base", 2)
    assert "dac_bits must be None or an integer from 2 to 24, got 1" in refused(*given, "--dac-bits", 1)
    assert "--chips 0: must be at least 1" in refused(*given, "--chips", 0)
    assert "goes with --mapping max_fill_ec" in refused(*given, "--ec-targets", "physical")
    assert "goes with --dac-bits or --adc-bits" in refused(*given, "--converter-quantile", 0.99)
    assert "the network refuses images [1, 4, 4]" in refused(*given, "--pixels", 4)
    assert "does not fit Sequential" in refused("deploy", taught[0], "--state", model_file, "--data", images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_images": np.zeros((4, 8, 8), np.uint8)}, r"test_images must be uint8 \[n, c, h, w\]"),
        ({"train_labels": np.full(240, -1)}, "train_labels must be whole numbers from 0"),
        ({"test_labels": np.full(64, 10)}, r"labels go up to 10, .* one image is \[1, 10\]"),
        ({"train_images": None}, "no array 'train_images'"),
        (
            {"test_images": np.zeros((64, 3, 8, 8), np.uint8)},
            "train_images have 1 channels and test_images 3",
        ),
    ],
)
def test_data_of_the_user_are_checked(refused, model_file, images, change, message):
    arrays = dict(np.load(images)) | change
    np.savez(images, **{key: value for key, value in arrays.items() if value is not None})
    assert re.search(f"data.npz: .*{message}", refused("deploy", model_file, "--data", images))


def test_harden(command, taught, images, tmp_path):
    place, state = taught
    given = (
        "harden",
        place,
        "--state",
        state,
        "--data",
        images,
        "--faults",
        0.3,
        "--alpha",
        "mean",
        "--bits",
        3,
    )
    status, out, err = command(
        *given, "--epochs", 6, "--batch-size", 16, "--output", "h.pt", "--table", "h.parquet"
    )
    # 12 x 8 of 64 x 12 + 12 x 8 + 8 x 10 weights.
    assert status == 0 and "quantised: 1 of 3 layers, 10 % of the weights; 1, 5 stay in full" in err
    frame = tables.read(tmp_path / "h.parquet", HARDENING).set_index("stage")
    assert frame["accuracy"]["given"] > 0.9 and frame["accuracy"]["on chip, hardened"] > 0.8
    assert frame["loss"]["on chip"] > frame["loss"]["given"]
    assert f"{100 * frame['accuracy']['on chip']:.2f} %" in out
    # The file gives the accuracy that the table states, to any command.
    status, out, _ = command(
        "deploy", place, "--state", "h.pt", "--data", images, "--slices", 8, "--chips", 1, "--output", "d.csv"
    )
    exact = pd.read_csv(tmp_path / "d.csv")["accuracy_without_hardware"][0]
    assert exact == pytest.approx(frame["accuracy"]["on chip, hardened"], abs=2 / 64)


def test_harden_for_a_measured_chip_without_data(command, taught, tmp_path):
    place, state = taught
    cells = pd.DataFrame({"layer": "3", "row": 2, "column": range(12), "bit": 3, "stuck": 0})
    cellmaps.write(cells, tmp_path / "chip.csv")
    for name, more in (("sound", ()), ("stuck", ("--faults", "chip.csv"))):
        status, out, _ = command("harden", place, "--state", state, *more, "--output", f"{name}.pt")
        assert status == 0 and "without training" in out
    sound, stuck = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("sound", "stuck"))
    assert torch.equal(sound["1.weight"], stuck["1.weight"])
    assert len(sound["3.weight"].unique()) <= 16
    # The upper half of the levels is out of reach of row 2, whose highest cell is stuck at 0.
    middle = (sound["3.weight"].min() + sound["3.weight"].max()) / 2
    assert sound["3.weight"][2].max() > middle > stuck["3.weight"][2].max()
    assert torch.equal(sound["3.weight"][0], stuck["3.weight"][0])


@pytest.mark.parametrize("kind", ["--faults", "--variability"])
def test_cells_drawn_can_be_kept_and_met_again(command, taught, tmp_path, kind):
    place, state = taught
    given = ("harden", place, "--state", state, kind)
    assert command(*given, 0.2, "--output", "drawn.pt", "--map-output", "cells.csv")[0] == 0
    assert command(*given, "cells.csv", "--output", "again.pt", "--seed", 9)[0] == 0
    drawn, again = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("drawn", "again"))
    assert all(torch.equal(value, again[name]) for name, value in drawn.items())


def test_harden_of_a_network_of_this_project(command, images, tmp_path):
    settings = {"input_pixels": 64, "widths": [12, 8], "weight_format": "4bitsym"}
    saved.save(fc(generator=torch_stream(1, "init"), **settings), tmp_path / "m.pt", "fc", **settings)
    status, _, _ = command("harden", "m.pt", "--bits", 2, "--quantiser", "step", "--output", "h.pt")
    assert status == 0
    status, out, _ = command("deploy", "h.pt", "--data", images, "--chips", 1)
    assert status == 0 and "20 s" in out
    state = torch.load(tmp_path / "h.pt", weights_only=True)["state"]
    assert len(state["layers.1.weight"].unique()) <= 4 < len(state["layers.0.weight"].unique())


def test_harden_refuses(refused, taught, images, tmp_path):
    given = ("harden", taught[0], "--output", "h.pt")
    assert "accuracies need images; give --data" in refused(*given, "--table", "t.csv")
    assert "not allowed with" in refused(*given, "--faults", 0.1, "--variability", 0.1)
    assert "chip.csv: no such file" in refused(*given, "--faults", "chip.csv")
    assert "--epochs 0: must be at least 1" in refused(*given, "--epochs", 0)
    assert "m.csv: no cells are drawn; give --faults" in refused(*given, "--map-output", "m.csv")
    assert "--mode basic: mitigates faults; give --faults" in refused(*given, "--mode", "basic")
    (tmp_path / "file").write_text("")
    assert "file/h.pt: nothing can be written in" in refused(*given[:-1], "file/h.pt")
    assert "is a folder; give the name of a file" in refused(*given[:-1], tmp_path)
    assert "--epochs 0" in refused(*given[:-1], "new/h.pt", "--epochs", 0) and not (tmp_path / "new").exists()
    assert "--pixels -4: must be at least 1" in refused(*given, "--data", images, "--pixels", -4)
    assert "rate is a probability of 0 .. 1, got 1.5" in refused(*given, "--faults", 1.5)
    assert "lower the learning rate" in refused(*given, "--data", images, "--learning-rate", 1)
    assert not (tmp_path / "h.pt").exists()


@pytest.fixture
def run_folder(tmp_path):
    rows = [
        ("crossbar", "Fig. 1", "ratio", "value", 1.0, 1.01, "inside"),
        ("crossbar", "Fig. 1", "bound", "at_most", 1.0, 0.9, "undecided"),
        ("training", "text", "accuracy", "at_least", 98.0, 97.0, "outside"),
        ("training", "text", "loss", "value", 98.0, float("nan"), "not run"),
    ]
    names = ["track", "figure", "quantity", "kind", "published", "ours", "verdict"]
    frame = pd.DataFrame(rows, columns=names).assign(
        unit="", tolerance=0.0, interval=0.1, difference=0.0, scale="", published_scale="",
        same_scale=[True, False, True, False], by_construction=[True, False, True, False], table="",
        source="x",
    )  # fmt: skip
    tables.write(frame, tmp_path / "run" / compare.TABLE, COMPARISON, provenance={})
    return tmp_path / "run"


def test_compare(command, run_folder, tmp_path):
    status, out, _ = command("compare", run_folder)
    assert status == 1 and "4 published values, 3 answered: 1 inside, 1 undecided, 1 outside" in out
    assert "1 of these come from data, networks or arrays other than published" in out
    assert "1 are met by any working implementation" in out
    assert "<= 1" in out and ">= 98" in out and "loss" not in out
    status, out, _ = command("compare", run_folder, "--track", "crossbar", "--output", "c.csv")
    assert status == 0 and "accuracy" not in out
    assert pd.read_csv(tmp_path / "c.csv")["quantity"].tolist() == ["bound", "ratio"]
    assert "loss" in command("compare", run_folder, "--all")[1]
    status, out, _ = command("compare", run_folder, "--verdict", "inside")
    assert status == 1 and "ratio" in out and "bound" not in out
    path = run_folder / compare.TABLE
    elsewhere = tables.read(path, COMPARISON).assign(same_scale=False)
    tables.write(elsewhere, path, COMPARISON, provenance={})
    assert command("compare", run_folder)[0] == 0  # outside, but it decides nothing


def test_compare_refuses(refused, tmp_path):
    assert "compare_published.parquet: no such file" in refused("compare", tmp_path)
    (tmp_path / compare.TABLE).write_bytes(b"PAR1")
    assert "not a readable parquet file" in refused("compare", tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("20", 20), ("20s", 20), ("1.5h", 5400), ("30d", 2592000), ("1y", 31536000), ("1e3", 1000)],
)
def test_times(text, value):
    assert deploy.seconds(text) == value
    with pytest.raises(argparse.ArgumentTypeError):
        deploy.seconds(f"-{text}")


def test_full_disk_is_one_line(refused, model_file, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("export", model_file, "--output", "file/below")


def test_commands_of_the_readme_parse(root):
    text = (root / "README.md").read_text()
    shown = [
        shlex.split(line)[1:]
        for line in re.findall(r"`(nonideal [a-z]+ [^`]*)`", text)
        if "COMMAND" not in line
    ]
    assert set(COMMANDS) <= {arguments[0] for arguments in shown}
    for arguments in shown:
        assert make_parser(arguments[:1]).parse_args(arguments).command == arguments[0]
