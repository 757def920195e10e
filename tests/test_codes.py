import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import codes
from nonideal.models.fc import fc
from nonideal.rng import torch_stream


def network(weight_format):
    return fc(
        generator=torch_stream(0, "init"), input_pixels=8, widths=(4,), classes=2, weight_format=weight_format
    )


def test_usage_counts_the_levels_of_every_layer():
    model = network("ternary")
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([1.0, 0.0, 0.0, -1.0] * 8).view(4, 8))
        model.layers[1].weight.copy_(torch.ones(2, 4))
    for layer in model.layers:
        layer.update_scale()
    row = {"epoch": 3, "train_loss": 0.5} | codes.CodeUsage().after_epoch(model, 2)
    history, usage = codes.split(pd.DataFrame([row]))
    assert history.to_dict("records") == [{"epoch": 3, "train_loss": 0.5}]
    assert usage.to_dict("list") == {
        "epoch": [3, 3, 3, 3],
        "layer": [1, 1, 1, 2],
        "code": [-1, 0, 1, 1],
        "share": [0.25, 0.5, 0.25, 1.0],
    }


def test_split_leaves_out_levels_without_weights():
    frame = pd.DataFrame(
        [{"epoch": 1, "codes/1/-1": 1.0}, {"epoch": 2, "codes/1/1": 0.75, "codes/1/-1": 0.25}]
    )
    _, usage = codes.split(frame)
    assert usage.to_dict("list") == {
        "epoch": [1, 2, 2],
        "layer": [1, 1, 1],
        "code": [-1, -1, 1],
        "share": [1.0, 0.25, 0.75],
    }


def test_full_precision_has_no_codes():
    assert codes.CodeUsage().after_epoch(network("float"), 0) == {}
    history, usage = codes.split(pd.DataFrame([{"epoch": 1, "train_loss": 1.0}]))
    assert usage.empty and len(history) == 1
    with pytest.raises(ValueError, match="quantise the network first"):
        codes.mean_entropy(network("float"))


def test_entropy_and_deviation_of_known_shares():
    usage = pd.DataFrame(
        {
            "layer": [1] * 4 + [2, 3, 3],
            "code": [-3, -1, 1, 3, 1, -1, 1],
            "share": [0.125, 0.25, 0.5, 0.125, 1.0, 0.5, 0.5],
        }
    )
    found = codes.statistics(usage, ["layer"])
    assert found["entropy"].tolist() == [1.75, 0.0, 1.0]
    levels, shares = np.array([-3, -1, 1, 3]), np.array([0.125, 0.25, 0.5, 0.125])
    mean = (levels * shares).sum()
    assert found["deviation"].tolist() == pytest.approx(
        [np.sqrt((shares * (levels - mean) ** 2).sum()), 0, 1]
    )


def test_mean_entropy_weighs_layers_by_their_weights():
    model = network("binary")
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([1.0, -1.0] * 16).view(4, 8))  # one bit, 32 weights
        model.layers[1].weight.fill_(1.0)  # no information, 8 weights
    assert codes.mean_entropy(model) == pytest.approx(32 / 40)
