"""Train two small networks on the digits that come with scikit-learn, in seconds, for the other examples.

    python examples/digits.py [FOLDER]     # examples/out if not given

writes below FOLDER

digits_fc.pt     a 4-bit network of this project, as a model file
digits_mlp.pt    weights of `mlp`, an ordinary PyTorch network as yours may be
digits.npz       the images and labels, as --data takes them

The commands import `mlp` from here as ``digits:mlp``.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nonideal import data, tensorfile, training
from nonideal.files import atomic
from nonideal.models import saved
from nonideal.models.fc import fc
from nonideal.rng import torch_stream

PIXELS = 8
FC = {"input_pixels": PIXELS**2, "widths": [64, 32], "weight_format": "4bitsym"}


def mlp() -> nn.Module:
    """Untrained network of ordinary layers."""
    hidden = [nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))


def main(folder: Path) -> None:
    """Write the images, and train and write both networks."""
    with tempfile.TemporaryDirectory() as prepared:
        data.prepare("digits", prepared)
        digits = data.load(prepared)
    arrays = {
        key: getattr(digits, key) for key in ("train_images", "train_labels", "test_images", "test_labels")
    }
    with atomic(folder / "digits.npz") as path, path.open("wb") as file:
        np.savez(file, **arrays)

    tensors = training.prepare(digits, size=PIXELS)
    quantised = fc(generator=torch_stream(1, "init"), **FC)
    torch.manual_seed(1)  # of the initial weights of `mlp`
    ordinary = mlp()
    settings = training.Settings(epochs=8, augmentation="none", batch_size=64)
    for model in (quantised, ordinary):
        history = training.train(model, tensors, settings, seed=1, progress=False)
        print(f"{type(model).__name__}: {history['test_accuracy'].iloc[-1]:.1%} of the test images")
    saved.save(quantised, folder / "digits_fc.pt", "fc", **FC)
    tensorfile.save(ordinary.state_dict(), folder / "digits_mlp.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
