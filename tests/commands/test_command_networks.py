"""Which network a command works on."""

import argparse
import pickle

import pytest
import torch

from nonideal import tensorfile, training
from nonideal.commands import UsageError, networks
from nonideal.models import ordinary, saved
from nonideal.models.cnn import cnn
from nonideal.models.fc import fc
from nonideal.models.resnet import resnet8, resnet20
from nonideal.models.vgg import vgg_narrow
from nonideal.quantize import attach
from nonideal.rng import torch_stream

OTHERS = {"deploy": ("--data", "digits"), "export": (), "harden": ("--output", "h.pt")}


def same(found, model, pixels=16, channels=1):
    x = torch.randn(3, channels, pixels, pixels, generator=torch_stream(2, "x"))
    assert torch.equal(found(x), model.eval()(x))


@pytest.mark.parametrize("weight_format", ["binary", "4bitsym", "8bit", "float"])
def test_networks_of_a_run_take_their_format_from_the_folder(tmp_path, weight_format):
    activation_bits = None if weight_format == "float" else 8
    models = [
        fc(
            generator=torch_stream(k, "init"),
            widths=(5, 4),
            weight_format=weight_format,
            activation_bits=activation_bits,
        )
        for k in range(2)
    ]
    path = tmp_path / weight_format / "networks.pt"
    tensorfile.save_networks({k: model.state_dict() for k, model in enumerate(models)}, path)
    same(networks.from_file(path).model, models[0])
    same(networks.from_file(path, repetition=1).model, models[1])
    with pytest.raises(UsageError, match=r"no repetition 2; --repetition is one of 0, 1"):
        networks.from_file(path, repetition=2)


def test_elsewhere_the_format_must_be_given(tmp_path):
    model = fc(generator=torch_stream(1, "init"), widths=(5,), weight_format="2bitsym")
    path = tmp_path / "networks.pt"
    tensorfile.save_networks({0: model.state_dict()}, path)
    with pytest.raises(saved.SavedNetworkError, match="give --weight-format, one of binary"):
        networks.from_file(path)
    same(networks.from_file(path, formats=("2bitsym",)).model, model)


@pytest.mark.parametrize(
    ("weight_format", "bits"),
    [("ternary", 8), ("ternary", 4), ("ternary", None), ("float", None), ("float", 8)],
)
def test_a_checkpoint_names_its_format(tmp_path, weight_format, bits):
    own = {"weight_format": weight_format, "activation_bits": bits}
    model = fc(generator=torch_stream(1, "init"), input_pixels=16, widths=(5,), **own)
    images, labels = torch.randn(16, 1, 4, 4, generator=torch_stream(1, "x")), torch.arange(16) % 10
    tensors = training.Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))
    settings = training.Settings(epochs=1, batch_size=8, augmentation="none")
    training.train(model, tensors, settings, seed=0, checkpoint=tmp_path / "c.pt", progress=False)
    found = networks.from_file(tmp_path / "c.pt")
    assert {key: found.settings[key] for key in own} == own
    same(found.model, model, pixels=4)


def test_a_checkpoint_with_averaged_weights_is_the_averaged_network(tmp_path):
    model = resnet8(generator=torch_stream(1, "init"), channels=1, width=4)
    images, labels = torch.randn(16, 1, 8, 8, generator=torch_stream(1, "x")), torch.arange(16) % 10
    tensors = training.Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))
    settings = training.Settings(epochs=2, batch_size=8, augmentation="none", average_decay=0.5)
    training.train(model, tensors, settings, seed=0, checkpoint=tmp_path / "c.pt", progress=False)
    same(networks.from_file(tmp_path / "c.pt").model, model, pixels=8)


@pytest.mark.parametrize("formats", [(), ("ternary", "8bit")])
def test_cnn(tmp_path, formats):
    settings = dict(zip(("first_format", "weight_format"), formats, strict=False))
    model = cnn(generator=torch_stream(1, "init"), channels=2, widths=(5,), **settings)
    tensorfile.save_networks({0: model.state_dict()}, tmp_path / "networks.pt")
    same(networks.from_file(tmp_path / "networks.pt", formats=formats).model, model)


@pytest.mark.parametrize("make", [resnet8, resnet20, vgg_narrow])
def test_networks_of_ordinary_layers(tmp_path, make):
    model = make(generator=torch_stream(1, "init"), channels=2, classes=7, width=4)
    tensorfile.save(model.state_dict(), tmp_path / "network.pt")
    found = networks.from_file(tmp_path / "network.pt")
    assert (found.name, found.settings) == (make.__name__, {"channels": 2, "width": 4, "classes": 7})
    same(found.model, model, channels=2)


def test_model_file(tmp_path, network, model_file):
    found = networks.from_file(model_file)
    assert found.name == "fc" and found.settings["weight_format"] == "ternary"
    same(found.model, network, pixels=8)
    with pytest.raises(ValueError, match="other weights"):
        saved.save(network, tmp_path / "other.pt", "fc", input_pixels=64, widths=[7], weight_format="ternary")
    assert not (tmp_path / "other.pt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": "fc", "settings": 3, "state": {}}, "found 'fc', int and dict"),
        ({"model": "fc", "settings": {"depth": 3}, "state": {}}, "does not fit model 'fc'"),
        ({"model": "resnet9", "settings": {}, "state": {}}, "one of cnn, fc, resnet8.*found 'resnet9'"),
        ({"model": ["fc"], "settings": {}, "state": {}}, "a model file holds"),
        (
            {"model": "fc", "settings": {"widths": [2**40]}, "state": {"layers.0.weight": torch.ones(1, 1)}},
            "other weights",
        ),
        ({"model": "fc", "settings": {}, "state": {"a": torch.ones(1)}}, "does not fit model 'fc'"),
        ({"weight": torch.ones(2, 2)}, "starts with 'weight'"),
        ({"convolutions.0.weight": torch.ones(2, 2)}, "looks like a network of this project"),
        ({"layers.0.weight": torch.ones(2)}, "looks like a network of this project"),
        ({"layers.1.weight": torch.ones(2, 2), "layers.0.scale": torch.ones(1)}, "give --weight-format"),
        ({"layers.1.weight": torch.ones(3, 2)}, "does not fit model 'fc'"),
        ({"l.parametrizations.weight.original": torch.ones(2, 2)}, "quantisers attached"),
        ({"epoch": 3, "lr": 0.1}, "its keys: 'epoch', 'lr'"),
        ([1, 2], "holds a list"),
        ({}, "holds a dict"),
        ({0: [1]}, "holds no network"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "f.pt")
    with pytest.raises(ValueError, match=message) as caught:
        networks.from_file(tmp_path / "f.pt")
    assert str(tmp_path / "f.pt") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["--first-format", "--weight-format"])
def test_formats_that_a_network_has_no_setting_for_are_refused(refused, model_file, tmp_path, option):
    model = resnet8(generator=torch_stream(1, "init"), channels=2, width=4)
    tensorfile.save(model.state_dict(), tmp_path / "network.pt")
    for command in ("deploy", "export", "harden"):
        said = refused(command, "network.pt", option, "binary", *OTHERS[command])
        assert f"{option}: does not apply to the network of network.pt, which is a resnet8" in said
    said = refused("export", model_file, "--first-format", "ternary")
    assert "--first-format: does not apply to" in said and "which is a fc; leave it out" in said


def test_formats_that_contradict_the_file_are_refused(refused, tmp_path):
    images, labels = torch.randn(16, 1, 4, 4, generator=torch_stream(1, "x")), torch.arange(16) % 10
    tensors = training.Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))
    settings = training.Settings(epochs=1, batch_size=8, augmentation="none")
    own = {"input_pixels": 16, "widths": (5,)}
    model = fc(generator=torch_stream(1, "init"), weight_format="ternary", **own)
    training.train(model, tensors, settings, seed=0, checkpoint=tmp_path / "c.pt", progress=False)
    assert "c.pt is ternary" in refused("export", "c.pt", "--weight-format", "8bit")
    # The default is no setting of the file, but the network has it.
    model = fc(generator=torch_stream(1, "init"), **own)
    saved.save(model, tmp_path / "m.pt", "fc", **own)
    assert "m.pt is 4bitsym" in refused("export", "m.pt", "--weight-format", "8bit")


def test_the_format_of_the_later_layers_of_a_cnn_is_not_that_of_the_first(tmp_path):
    model = cnn(generator=torch_stream(1, "init"), channels=2, widths=(5,), weight_format="8bit")
    tensorfile.save_networks({0: model.state_dict()}, tmp_path / "networks.pt")
    parser = argparse.ArgumentParser()
    networks.add_arguments(parser)
    given = parser.parse_args([str(tmp_path / "networks.pt"), "--weight-format", "8bit"])
    same(networks.load(given).model, model)


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_no_foreign_pickle_is_executed(tmp_path, monkeypatch, save):
    monkeypatch.chdir(tmp_path)
    save({"state": Bomb()}, tmp_path / "f.pt")
    with pytest.raises(UsageError, match=r"without executing it.*state_dict"):
        networks.from_file(tmp_path / "f.pt")
    assert not (tmp_path / "exploded").exists()


def test_callables(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = networks.imported(module, "build")
    assert torch.equal(networks.imported(module, "build")[1].weight, model[1].weight)
    for attribute, message in (
        ("number", "gave a int; it must return a torch.nn.Module"),
        ("broken", "RuntimeError: no such chip"),
        ("absent", "AttributeError"),
    ):
        with pytest.raises(UsageError, match=f"{module}:{attribute}: .*{message}"):
            networks.imported(module, attribute)
    with pytest.raises(UsageError, match="ModuleNotFoundError"):
        networks.imported("no_such_module", "build")


def test_a_state_with_quantisers_says_to_detach_them(refused, taught, tmp_path):
    place, _ = taught
    model = networks.imported(*place.split(":"))
    attach.attach(model, lambda _, layer: attach.FormatQuantiser(layer.weight, "4bitsym"))
    torch.save(model.state_dict(), tmp_path / "qat.pt")
    said = refused("deploy", place, "--state", "qat.pt", "--data", "digits")
    assert "qat.pt: does not fit Sequential: '1.parametrizations.weight.original'" in said
    assert "detach them (nonideal.quantize.attach.detach)" in said


@pytest.mark.parametrize("name", OTHERS)
def test_weights_that_may_be_untrained_are_named(command, taught, images, name, tmp_path):
    place, state = taught
    if name == "export":  # takes networks of this project alone
        place = f"fc_{place}"
        (tmp_path / f"{place.split(':')[0]}.py").write_text(
            "from nonideal.models.fc import fc\nfrom nonideal.rng import torch_stream\n"
            "def build():\n    return fc(widths=(5,), generator=torch_stream(1, 'init'))\n"
        )
        torch.save(fc(widths=(5,), generator=torch_stream(2, "init")).state_dict(), state)
    end = ("--data", images, "--chips", 1, "--slices", 1) if name == "deploy" else OTHERS[name]
    status, _, err = command(name, place, *end)
    assert status == 0 and f"no --state: with the weights that {place} starts with\n" in err
    status, _, err = command(name, place, "--state", state, *end)
    assert status == 0 and "no --state" not in err


def test_ordinary_layers_compute_the_same(network):
    same(ordinary(network), network, pixels=8)
    assert sum(isinstance(m, torch.nn.Linear) for m in ordinary(network).modules()) == 2


def test_a_network_to_fine_tune_computes_the_same(network):
    found = networks.unquantised(networks.Network(network, "fc", {"input_pixels": 64, "widths": [6]}))
    same(found.model, network, pixels=8)
    assert found.settings["weight_format"] == "float"
