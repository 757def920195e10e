"""Small networks in files, and the command line."""

import numpy as np
import pytest
import torch
from torch import nn

from nonideal.__main__ import main
from nonideal.models import saved
from nonideal.models.fc import fc
from nonideal.rng import stream, torch_stream

MODULE = """
import torch
from torch import nn

def build():
    hidden = [nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, 10))

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = build()

    def forward(self, x):
        return self.body(x), x

def number():
    return 7

def broken():
    raise RuntimeError("no such chip")
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Function that runs a command in an empty folder: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse ends this way
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def refused(command):
    """Function that expects bad use: status 2, one line, and returns the line."""

    def run(*arguments):
        status, out, err = command(*arguments)
        assert status == 2 and not out, (status, out, err)
        notes = ("usage:", " ", "images normalised", "quantised:", "no --state:")
        lines = [line for line in err.splitlines() if not line.startswith(notes)]
        assert len(lines) == 1 and lines[0].startswith("nonideal"), err
        return lines[0]

    return run


@pytest.fixture
def network():
    """Quantised fully connected network for digits."""
    return fc(generator=torch_stream(1, "init"), input_pixels=64, widths=(6,), weight_format="ternary").eval()


@pytest.fixture
def model_file(network, tmp_path):
    """Model file of that network."""
    path = tmp_path / "fc.pt"
    saved.save(network, path, "fc", input_pixels=64, widths=[6], weight_format="ternary")
    return path


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module of the user's, in the folder the command runs in."""
    name = f"mine_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


@pytest.fixture
def images(tmp_path):
    """Data file of easy images: the class is where the bright row is."""
    generator, arrays = stream(1, "images"), {}
    for part, count in (("train", 240), ("test", 64)):
        labels = generator.integers(0, 8, count)
        pixels = generator.integers(0, 60, (count, 1, 8, 8)).astype(np.uint8)
        pixels[np.arange(count), 0, labels] += 180
        arrays |= {f"{part}_images": pixels, f"{part}_labels": labels}
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


@pytest.fixture
def taught(module, images, tmp_path, monkeypatch):
    """The user's network, trained on the images: place of the callable, state file."""
    from nonideal.commands.networks import imported

    monkeypatch.chdir(tmp_path)
    model = imported(module, "build")
    arrays = np.load(images)
    x = torch.from_numpy(arrays["train_images"]).float()
    x, y = (x - x.mean()) / x.std(), torch.from_numpy(arrays["train_labels"])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    return f"{module}:build", tmp_path / "mine.pt"
