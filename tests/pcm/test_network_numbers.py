"""Numbers of the studies of networks, without training one: options, references, crossovers, streams."""

import copy
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from nonideal import rng, training
from nonideal.pcm import (
    crossovers,
    network_analysis,
    network_options,
    network_training,
    networks,
    noise_training,
)
from nonideal.pcm.deploy import logit_error
from nonideal.pcm.hardware import Hardware


def test_every_option_is_one_choice_of_its_own():
    found = {
        (option, value): {
            key: part
            for key, part in vars(hardware).items()
            if part != getattr(network_options.STANDARD, key)
        }
        for option, value, hardware in network_options.ALTERNATIVES
    }
    assert found == {
        ("read noise at t0", "off"): {"read_noise": "after_t0"},
        ("scale of read noise", "G_max"): {"read_noise_norm": "g_max"},
        ("targets of error correction", "-1 to 1 G_max"): {"ec_targets": "physical"},
        ("targets of error correction", "0 to 1 G_max"): {"ec_targets": "same_sign"},
        ("unused devices of a pair", "rectified noise"): {"pairs": True},
        ("negative conductance", "clipped at 0"): {"non_negative": True},
        ("drift exponents", "clipped"): {"exponents": "clipped"},
        ("compensation", "column"): {"compensation": "column"},
        ("compensation", "fixed"): {"compensation": "fixed"},
        ("compensation", "none"): {"compensation": "none"},
        ("converters of inputs and outputs", "8 bits"): {"dac_bits": 8, "adc_bits": 8},
        ("converters of inputs and outputs", "6 bits"): {"dac_bits": 6, "adc_bits": 6},
    }


def _chips(errors, accuracies):
    return pd.DataFrame({"time_s": 20.0, "chip": range(4), "logit_error": errors, "accuracy": accuracies})


def test_changes_of_options_are_paired_by_chip():
    standard = _chips([0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6])
    other = _chips([0.12, 0.22, 0.33, 0.45], [0.89, 0.8, 0.68, 0.57])
    (row,) = network_options._changes(standard, other)
    (shuffled,) = network_options._changes(standard, other.sample(frac=1, random_state=1))
    assert row == shuffled and row["chips"] == 4
    t = 3.18245  # Student's t, three degrees of freedom, 97.5 %
    assert row["error_change"] == pytest.approx(1.12 - 1)
    residual = np.array([0.12, 0.22, 0.33, 0.45]) - 1.12 * np.array([0.1, 0.2, 0.3, 0.4])
    sem = residual.std(ddof=1) / 2 / 0.25
    assert row["error_change_half_width"] == pytest.approx(t * sem, rel=1e-4)
    gain = np.array([-0.01, 0, -0.02, -0.03])
    assert row["accuracy_change"] == pytest.approx(gain.mean())
    assert row["accuracy_change_half_width"] == pytest.approx(t * gain.std(ddof=1) / 2, rel=1e-4)


def test_converters_are_those_of_the_configuration():
    settings = {"dac_bits": 3, "adc_bits": 5, "converter_quantile": 0.9, "chips": 7}
    expected = Hardware(dac_bits=3, adc_bits=5, converter_quantile=0.9)
    assert networks.converters_of(settings) == expected


def test_references_tell_weights_of_nine_bits_from_full_precision(monkeypatch):
    """Weights so coarse that they change most answers stand for those of nine bits."""

    def coarse(model, **_):
        copied = copy.deepcopy(model)
        copied.weight.data = copied.weight.sign()
        return copied

    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(6, 5)
    nn.init.normal_(model.weight, generator=generator)
    images = torch.randn(300, 6, generator=generator)
    labels = model(images).argmax(1)
    examples = training.Tensors(images, labels, images, labels, background=torch.zeros(1))
    seen = networks.Images(images[:100], labels[:100], images[:1])
    config = {"threads": 1, "pixels": 8, "dataset": "digits"}
    monkeypatch.setattr(networks, "quantised", coarse)
    monkeypatch.setattr(networks, "choose_images", lambda *_, **__: (seen, 1, 5))
    monkeypatch.setattr(networks, "restore", lambda *_: model.eval())
    monkeypatch.setattr(network_training, "tensors", lambda *_: (examples, 5))
    row = networks.references(config, {"float": {}}, "data", seed=1).iloc[0]
    share = (coarse(model)(images[:100]).argmax(1) == labels[:100]).double().mean().item()
    assert row["accuracy"] == row["accuracy_all_images"] == 1 and row["accuracy_quantised"] == share < 0.9
    assert (row["images"], row["all_images"]) == (100, 300)
    logits = networks.reference_logits(model, seen)
    torch.testing.assert_close(logits, coarse(model)(images[:100]))


def test_crossovers_are_of_the_largest_number_of_slices():
    rows = [
        {"network": name, "mapping": mapping, "base": 1, "n_slices": n, "time_s": t, "chip": chip,
         "accuracy": 0.5, "logit_error": error + 0.001 * chip}
        for name, n, mapping, errors in (
            ("noise_aware", 8, "max_fill", (0.1, 0.4)), ("noise_aware", 8, "equal_fill", (0.2, 0.3)),
            ("noise_aware", 2, "max_fill", (0.9, 0.1)), ("noise_aware", 2, "equal_fill", (0.1, 0.9)),
            ("float", 8, "max_fill", (0.1, 0.1)), ("float", 8, "equal_fill", (0.2, 0.2)),
        )
        for t, error in zip((20.0, 2000.0), errors, strict=True) for chip in range(4)
    ]  # fmt: skip
    found = network_analysis.crossover_table(pd.DataFrame(rows), rng=rng.stream(0, "test"))
    assert set(found["first_n_slices"]) == set(found["second_n_slices"]) == {8}
    row = found.set_index("measure").loc["logit_error"]
    assert (row["first_mapping"], row["second_mapping"]) == ("max_fill", "equal_fill")
    assert row["time_s"] == pytest.approx(200.0)


def test_weight_noise_is_of_its_own_in_every_layer_epoch_and_step():
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    noisy = noise_training.attach(model)
    draws = []
    for seed, epoch, step in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0)):
        noise_training.WeightNoise(noisy, seed=seed).before_step(model, epoch, step)
        draws += [weight.draw.flatten() for weight in noisy.values()]
    for a, b in itertools.combinations(draws, 2):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / math.sqrt(1600)


def test_logit_error_is_relative_to_all_logits_of_all_images():
    reference = torch.tensor([[3.0, 0.0], [0.0, -4.0]])
    chips = reference + torch.tensor([[[0.3, 0.0], [0.4, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(logit_error(chips, reference), torch.tensor([0.1, 0.0]))
    assert logit_error(chips, torch.zeros(2, 2)).isnan().all()


def test_nothing_to_compare_is_said():
    alone = pd.DataFrame(
        {"network": ["noise_aware"], "mapping": ["max_fill"], "base": [1], "n_slices": [1], "chip": [0]}
    )
    with pytest.raises(
        ValueError, match=r"no two configurations to compare \(\('max_fill', 1, 1\)\): give two"
    ):
        network_analysis.difference_table(alone, pd.DataFrame())
    with pytest.raises(ValueError, match="no two mappings to compare"):
        crossovers.table([])
