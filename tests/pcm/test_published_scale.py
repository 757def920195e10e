"""The configuration of the published scale, one step of it."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from snakemake.utils import update_config

from nonideal.data.splits import Dataset
from nonideal.pcm import network_training, networks, noise_training
from nonideal.pcm.device import T0_S
from nonideal.pcm.hardware import Hardware


@pytest.fixture
def config(root):
    """Section ``networks`` of the published scale, with epochs of one step."""
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    update_config(config, yaml.safe_load((root / "config/paper.yaml").read_text()))
    section = config["networks"]
    section["float"] |= {"epochs": 1, "warmup_epochs": 0}
    section["noise"] |= {"epochs": 1}
    section["device"] = "auto"  # the publication's is a GPU
    section["deployment"] |= {"images": 4, "calibration_images": 2}
    return section


def noise():
    """Ten images to train on and four to test on."""
    rng = np.random.default_rng(1)
    parts = [(rng.integers(256, size=(n, 3, 32, 32), dtype=np.uint8), np.arange(n)) for n in (10, 4)]
    return Dataset("cifar10", *parts[0], *parts[1], class_names=tuple("abcdefghij"))


def test_chips_are_calibrated_on_images_of_the_training_set(config, monkeypatch):
    monkeypatch.setattr(network_training, "load", lambda folder: noise())
    examples, _ = network_training.tensors("cifar10", config["pixels"])
    chosen, _, _ = networks.choose_images(config, "cifar10", seed=3)
    for images, wanted in ((chosen.calibration, examples.train_images), (chosen.test, examples.test_images)):
        same = (images[:, None] == wanted[None]).all(dim=(2, 3, 4))
        assert len(images) == len(same.any(dim=0).nonzero()) and same.any(dim=1).all()
    same = (chosen.test[:, None] == examples.test_images[None]).all(dim=(2, 3, 4))
    assert torch.equal(chosen.labels, examples.test_labels[same.int().argmax(dim=1)])


def test_fine_tuning_has_the_noise_of_the_configuration(config, tmp_path, monkeypatch):
    seen = {}

    def train(model, examples, settings, *, hooks, **options):
        found = [module for module in model.modules() if isinstance(module, noise_training.NoisyWeight)]
        seen[found[0].weights] = found, hooks
        assert (settings.lr, settings.weight_decay, settings.epochs) == (0.02, 3e-4, 1)
        return pd.DataFrame({"epoch": [1]})

    monkeypatch.setattr(network_training, "load", lambda folder: noise())
    monkeypatch.setattr(network_training.training, "train", train)
    config["noise"] |= {"noise": 0.07, "clip_sigmas": 1.5, "learning_rate": 0.02, "weight_decay": 3e-4}
    initial = network_training.architecture(config, 3, 10, seed=0).state_dict()
    for name in ("noise_aware", "ternary"):
        network_training.train_network(
            config, name, "cifar10", initial=initial, seed=3, progress=tmp_path, fingerprint="a" * 64
        )
    assert list(seen) == ["9bit", "ternary"]
    for found, (hook,) in seen.values():
        assert {(weight.noise, weight.clip_sigmas) for weight in found} == {(0.07, 1.5)}
        assert list(hook.weights.values()) == found  # every noisy weight is drawn anew in each step
    (_, (one,)), (_, (other,)) = seen.values()
    assert one.seed != other.seed


def test_the_published_scale_trains_one_step_and_reads_a_chip(config, tmp_path, monkeypatch):
    assert config["architecture"] == "resnet32" and config["deployment"]["chips"] == 100
    assert config["float"]["precision"] == "bfloat16" and config["float"]["channels_last"]
    monkeypatch.setattr(network_training, "load", lambda folder: noise())
    states = {}
    for name in ("float", "noise_aware"):
        states[name], history = network_training.train_network(
            config,
            name,
            "cifar10",
            initial=states.get("float"),
            seed=3,
            progress=tmp_path,
            fingerprint="a" * 64,
        )
        assert len(history) == 1 and np.isfinite(history["train_loss"]).all()
    before, after = (states[name]["classifier.weight"] for name in states)
    assert torch.isfinite(after).all() and not torch.equal(before, after)
    seen, channels, classes = networks.choose_images(config, "cifar10", seed=3)
    model = networks.restore(config, states["noise_aware"], channels, classes).cpu()
    plan = networks.Plan("max_fill", 1, max(config["deployment"]["n_slices"]), (T0_S,))
    reference = networks.reference_logits(model, seen)
    rows = list(networks.simulate(model, plan, [99], seen, reference, seed=3, hardware=Hardware()))
    assert [(row["chip"], row["time_s"]) for row in rows] == [(99, T0_S)]
    assert 0 < rows[0]["logit_error"] < 1
