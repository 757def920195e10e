"""What `nonideal deploy` shows: which images, and means over chips."""

import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import training
from nonideal.commands import deploy
from nonideal.pcm import networks
from nonideal.pcm.hardware import NOISELESS


def test_means_and_intervals_over_chips():
    rows = pd.DataFrame({"time_s": [20, 20, 20], "accuracy": [0.9, 0.8, 0.7], "logit_error": [0.1, 0.2, 0.6]})
    (row,) = deploy._over_chips(rows).to_dict("records")
    assert (row["accuracy_mean"], row["error_mean"]) == pytest.approx((0.8, 0.3))
    t = 4.30265 / 3**0.5  # Student's t, two degrees of freedom, 97.5 %
    assert row["accuracy_half_width"] == pytest.approx(0.1 * t, rel=1e-5)
    assert row["error_half_width"] == pytest.approx(rows["logit_error"].std() * t, rel=1e-5)
    assert np.isnan(deploy._over_chips(rows[:1])["error_half_width"]).all()


def test_chips_classify_random_test_images_and_are_calibrated_on_others():
    values = torch.arange(50.0)[:, None]
    labels = torch.arange(50) % 7
    tensors = training.Tensors(-values, labels, values, labels, background=torch.zeros(1))
    found = deploy.choose(tensors, 20, 10, seed=1)
    assert len(found.test) == 20 and len(found.calibration) == 10 and (found.calibration <= 0).all()
    assert torch.equal(found.labels, found.test[:, 0].long() % 7)
    assert (found.test.diff(dim=0) > 0).all() and found.test.max() > 20
    assert not torch.equal(deploy.choose(tensors, 20, 10, seed=2).test, found.test)
    assert torch.equal(deploy.choose(tensors, None, 10, seed=1).test, values)


def test_errors_are_relative_to_the_network_with_the_same_digital_layers():
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    images = torch.randn(30, 6, generator=generator).double()
    chosen = networks.Images(images, model(images).argmax(1), images[:4])
    plan = networks.Plan("max_fill", 1, 2, (20.0,), ("0",))
    frame = deploy.table(model, chosen, plan, 2, seed=1, hardware=NOISELESS)
    assert frame["error_mean"].item() < 1e-6  # the grid of nine bits alone would be a thousand times that
