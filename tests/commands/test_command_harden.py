"""What ``nonideal harden`` refuses to train, and what it says it quantised."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import nonideal
from nonideal.commands import UsageError, harden, trainable
from nonideal.rng import torch_stream
from nonideal.training import Settings, Tensors
from nonideal.training.batches import batches

MORE = """
from torch.nn.utils import parametrizations, prune

def spectral():
    model = build()
    parametrizations.spectral_norm(model[1])
    return model

def pruned():
    model = build()
    prune.l1_unstructured(model[1], "weight", amount=0.5)
    return model

class Looked(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.table = nn.Linear(64, 10, bias=False), nn.Embedding(10, 64)
        self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(x.flatten(1))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = build()

    def forward(self, x):
        return (self.body(x), x) if self.training else self.body(x)

def frozen():
    return build().requires_grad_(False)
"""


@pytest.fixture
def module(module, tmp_path):
    """The user's module with networks that need a second look."""
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write(MORE)
    return module


def test_networks_that_cannot_be_trained_end_in_a_line(refused, module, images, tmp_path):
    given = ("--data", images, "--output", "h.pt", "--epochs", 1)
    assert "layers 'out' and 'table' share" in refused(
        "harden", f"{module}:Looked", "--layers", "all", *given
    )
    assert "output for a batch of 112 is a tuple" in refused("harden", f"{module}:Two", *given)
    assert "are frozen" in refused("harden", f"{module}:frozen", *given)
    assert "make it permanent first" in refused("harden", f"{module}:pruned", *given)
    assert "make it permanent first" in refused("harden", f"{module}:spectral", "--layers", "all", *given)
    assert not (tmp_path / "h.pt").exists()


def test_parametrisations_of_float_layers_are_kept_in_the_file(command, module, images, tmp_path):
    place = f"{module}:spectral"
    given = ("--data", images, "--epochs", 1, "--alpha", "mean", "--output", "h.pt")
    status, out, err = command("harden", place, *given)
    assert status == 0 and "on chip, hardened" in out, err
    state = torch.load(tmp_path / "h.pt", weights_only=True)
    assert "1.parametrizations.weight.original" in state and len(state["3.weight"].unique()) <= 16
    assert command("deploy", place, "--state", "h.pt", "--data", images, "--chips", 1, "--slices", 1)[0] == 0


@pytest.mark.parametrize("quantiser", ["fixed", "step"])
def test_a_training_that_diverges_ends_in_a_line(command, taught, images, tmp_path, quantiser):
    place, state = taught
    given = ("--faults", 0.1, "--mode", "trained", "--quantiser", quantiser, "--learning-rate", 1e30)
    end = ("--data", images, "--output", "h.pt", "--epochs", 1, "--batch-size", 16)
    status, out, err = command("harden", place, "--state", state, *given, *end)
    said = err.splitlines()[-1]
    assert status == 2 and not out and "the training diverged" in said
    assert said.endswith("lower --learning-rate 1e+30") and not (tmp_path / "h.pt").exists()


def tensors(count):
    images = torch.rand(count, 1, 8, 8, generator=torch_stream(1, "images"))
    return Tensors(images, torch.arange(count) % 10, images, torch.arange(count) % 10, torch.zeros(1, 1, 1))


def hardened(*first):
    model = nn.Sequential(
        *first, nn.Flatten(), nn.LazyLinear(12), nn.ReLU(), nn.Linear(12, 8), nn.Linear(8, 10)
    )
    model.eval()(torch.ones(1, 1, 8, 8))
    return nonideal.harden(model, epochs=1).model


def rules(batch_size, augmentation="none"):
    return Settings(epochs=1, batch_size=batch_size, optimiser="sgd", augmentation=augmentation)


@pytest.mark.parametrize(
    ("count", "batch_size", "said"),
    [
        (33, 16, "--batch-size 16: leaves a last batch of one image of 33, which batch normalisation"),
        (4, 1, "--batch-size 1: makes batches of one image, which batch normalisation cannot train on"),
        (1, 8, "--batch-size 8: leaves a last batch of one image of 1, which batch normalisation"),
    ],
)
def test_batch_normalisation_needs_two_values(count, batch_size, said):
    normalised = hardened(nn.Flatten(), nn.BatchNorm1d(64))
    with pytest.raises(UsageError, match=said):
        trainable.check(normalised, tensors(count), rules(batch_size))
    before = {name: value.clone() for name, value in normalised.state_dict().items()}
    trainable.check(normalised, tensors(34), rules(16))
    after = normalised.state_dict()
    assert not normalised.training and all(torch.equal(after[name], before[name]) for name in before)
    trainable.check(hardened(nn.BatchNorm2d(1)), tensors(count), rules(batch_size))  # 64 values an image


@pytest.mark.parametrize("augmentation", ["none", "affine", "crop_flip"])
@pytest.mark.parametrize("count", [3, 16, 17, 20])
def test_the_smallest_batch_is_that_of_an_epoch(augmentation, count):
    drawn = batches(tensors(count), rules(8, augmentation), 0, 0)
    assert trainable.smallest_batch(count, rules(8, augmentation)) == min(
        len(labels) for *_, labels, _ in drawn
    )


class Odd(nn.Module):
    """Gives what it is told to in training mode."""

    def __init__(self, gives):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10))
        self.gives = gives

    def forward(self, x):
        return self.gives(self.layers(x)) if self.training else self.layers(x)


def fails(x):
    raise RuntimeError("no dropout\nhere")


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda x: (x, x), r"output for a batch of 4 is a tuple; it must be \[4, classes\]"),
        (lambda x: x[:, :9], r"output for a batch of 4 is \[4, 9\]; .* at least 10 classes"),
        (lambda x: x[None], r"output for a batch of 4 is \[1, 4, 10\]"),
        (fails, r"refuses a batch of 4 \(no dropout\)"),
    ],
)
def test_what_a_network_gives_in_training_mode_is_looked_at(gives, said):
    model = nonideal.harden(Odd(gives).eval(), epochs=1).model
    with pytest.raises(UsageError, match=said):
        trainable.check(model, tensors(20), rules(16))


def test_the_look_draws_no_random_numbers():
    model = hardened(nn.Dropout(0.5))
    before = torch.random.get_rng_state()
    trainable.check(model, tensors(20), rules(16))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_that_are_frozen_are_refused_unless_one_is_not():
    model = hardened().requires_grad_(False)
    with pytest.raises(UsageError, match=r"are frozen .* leave --data out"):
        trainable.check(model, tensors(20), rules(16))
    model[3].parametrizations.weight.original.requires_grad_(True)
    trainable.check(model, tensors(20), rules(16))


def said_of(model, **settings):
    return harden.selected(nonideal.harden(model, **settings))


def test_tables_count_among_the_weights():
    layers = {"bag": nn.EmbeddingBag(3, 8), "table": nn.Embedding(5, 8), "norm": nn.LayerNorm([2, 4])}
    layers |= {name: nn.Linear(8, 8) for name in "abc"}
    share = 100 * 64 / (24 + 40 + 3 * 64)
    assert said_of(nn.ModuleDict(layers)) == (
        f"quantised: 1 of 3 layers, {share:.0f} % of the weights; a, c, bag, table stay in full precision, "
        "on no cells"
    )


def test_no_weight_counts_twice():
    model = nn.ModuleDict({"table": nn.Embedding(8, 8)} | {name: nn.Linear(8, 8) for name in "abc"})
    model["c"].weight = model["table"].weight
    parametrizations.weight_norm(model["a"])
    said = said_of(model)
    assert said == "quantised: 1 of 3 layers, 33 % of the weights; a, c stay in full precision, on no cells"
