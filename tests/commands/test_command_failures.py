"""What commands say where something fails that is not their fault, and that nothing is lost by it."""

import pytest
import torch
from torch import nn

import nonideal
from nonideal import cellmaps, files
from nonideal.__main__ import main
from nonideal.commands import deploy
from nonideal.models.ordinary_layers import ordinary_names
from nonideal.pcm.deploy import deploy as deploy_network

MORE = """
def poisoned():
    model = build()
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    return model

class Bare(nn.Module):
    def forward(self, x):
        assert x.shape[-1] == 77

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(64, 9), nn.Linear(9, 9), nn.Linear(9, 9), nn.Linear(9, 10)
        self.c.weight = self.b.weight

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x.flatten(1)))))

class Looked(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(10, 64), nn.Linear(64, 10, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(x.flatten(1))

def parallel():
    return nn.DataParallel(build())

def normalised():
    hidden = [nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, 10))
"""


@pytest.fixture
def module(module, tmp_path):
    """The user's module with networks that cannot be handled."""
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write(MORE)
    return module


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "run", interrupted)
    assert main(["deploy", "x.pt", "--data", "digits"]) == 130
    assert capsys.readouterr().err == "nonideal deploy: interrupted\n"


def test_harden_says_what_keeps_it_from_training(command, refused, module, taught, images, tmp_path):
    end = ("--data", images, "--output", "h.pt", "--epochs", 1)
    assert "'1.weight' holds values that are not finite" in refused("harden", f"{module}:poisoned", *end)
    assert "layers 'b' and 'c' share one weight" in refused("harden", f"{module}:Tied", *end)
    assert "layers 'table' and 'out' share" in refused("harden", f"{module}:Looked", "--layers", "all", *end)
    place, state = taught
    given = ("harden", place, "--state", state, "--faults", 0.1, "--mode", "trained", "--learning-rate", 1e30)
    status, out, err = command(*given, *end)
    assert status == 2 and not out and err.splitlines()[-1].endswith("lower --learning-rate 1e+30")
    given = ("harden", f"{module}:normalised", "--batch-size", 239)
    assert "leaves a last batch of one image of 240" in refused(*given, *end)
    assert not (tmp_path / "h.pt").exists()


@pytest.mark.parametrize("names", [("h.pt", "m.csv", "m.csv"), ("t.csv", "m.csv", "t.csv")])
def test_one_file_for_two_outputs_is_refused(refused, taught, images, tmp_path, names):
    output, cells, table = names
    given = ("harden", taught[0], "--data", images, "--faults", 0.1, "--output", output)
    said = refused(*given, "--map-output", cells, "--table", f"../{tmp_path.name}/{table}")
    assert "is given for two files" in said and not (tmp_path / output).exists()


def test_outputs_are_tried_before_the_work(refused, taught, images, tmp_path):
    (tmp_path / "taken.csv").mkdir()
    assert "taken.csv: is a folder" in refused("deploy", taught[0], "--data", images, "--output", "taken.csv")
    given = ("harden", taught[0], "--data", images, "--output", "h.pt", "--table", "taken.csv")
    assert "taken.csv: is a folder" in refused(*given)
    assert "taken.csv: is a folder" in refused("compare", tmp_path, "--output", "taken.csv")


def test_errors_name_the_file_and_not_its_temporary_name(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught, files.atomic(tmp_path / "taken"):
        pass
    assert caught.value.filename == str(tmp_path / "taken") and not list(tmp_path.glob(".*"))


def test_networks_that_say_nothing_and_wrapped_ones(command, module, images):
    status, _, err = command("deploy", f"{module}:Bare", "--data", images)
    assert status == 2 and "(AssertionError)" in err.splitlines()[-1]
    given = ("--data", images, "--chips", 1, "--slices", 1)
    assert (
        command("deploy", f"{module}:parallel", *given)[:2]
        == command("deploy", f"{module}:build", *given)[:2]
    )
    with pytest.raises(ValueError, match=r"pass model\.module"):
        deploy_network(nn.DataParallel(nn.Linear(3, 2)), "max_fill", 1, 2, 1, seed=0)


def test_weights_without_values_are_refused():
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    with pytest.raises(ValueError, match="has no values"):
        nonideal.harden(model)


def test_layers_keep_their_names_when_they_stay_digital(command, model_file, network, images):
    assert ordinary_names(network) == {"layers.0": "layers.0.1", "layers.1": "layers.1.1"}
    given = ("deploy", model_file, "--data", images, "--chips", 1, "--slices", 1, "--digital")
    assert command(*given, "layers.0")[:2] == command(*given, "layers.0.1")[:2]


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_names_of_dots_are_refused(refused, model_file, name):
    assert "a name without folders" in refused("export", model_file, "--name", name)


def test_an_empty_field_of_a_map_is_nothing(tmp_path):
    (tmp_path / "m.csv").write_text("layer,row,column,bit,stuck\n0,0,0,,1\n")
    with pytest.raises(cellmaps.CellMapError, match="bit must be a number, found nothing"):
        cellmaps.read(tmp_path / "m.csv", "stuck", {"0": (2, 2)}, 4)
