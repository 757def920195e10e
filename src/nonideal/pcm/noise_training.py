"""Noise-aware training: the forward pass meets noisy weights, the gradient does not (Joshi et al. 2020).

A parametrisation stands for each weight of a crossbar: it clips the weight at a few standard deviations of
its layer, adds the noise of the current step, and lets the gradient through unchanged (straight-through
estimator). The hook `WeightNoise` draws the noise before each step, from a stream named by seed, layer,
epoch and step, and whatever uses the weight in that step meets this one draw. Without the hook a weight is
drawn anew every time it is used: a layer that is called twice in one forward pass meets two draws.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nonideal import rng
from nonideal.pcm.programming import ALL_EQUAL
from nonideal.pcm.slicing import ternarise
from nonideal.quantize import attach as quantisers
from nonideal.training import Hook

NOISE = 0.038
"""Spread of the weight noise, fraction of the layer's largest weight (Joshi et al. 2020, Methods)."""

CLIP_SIGMAS = 2.0
"""Largest weight, standard deviations of the layer's weights (Joshi et al. 2020, Methods)."""

WEIGHTS = ("9bit", "ternary")

CROSSBAR_LAYERS = (nn.Linear, nn.Conv2d)


class NoisyWeight(nn.Module):
    """Parametrisation of one weight: clipped or ternary, noisy in training, with a straight-through gradient.

    Parameters
    ----------
    noise
        Standard deviation of the noise, fraction of the largest weight after clipping.
    clip_sigmas
        Limit of a weight's magnitude, standard deviations of the layer's weights.
    weights
        "9bit" leaves clipped weights as they are (the grid of 9 bits is finer than the noise by far);
        "ternary" reduces them to {-s, 0, s}, see `slicing.ternarise`.
    """

    def __init__(self, noise: float = NOISE, clip_sigmas: float = CLIP_SIGMAS, weights: str = "9bit") -> None:
        super().__init__()
        if not noise >= 0 or not clip_sigmas > 0:
            raise ValueError(f"noise must be at least 0 and clip_sigmas positive, got {noise}, {clip_sigmas}")
        if weights not in WEIGHTS:
            raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")
        self.noise, self.clip_sigmas, self.weights = noise, clip_sigmas, weights
        # Standard normals of the step, not part of the state; None draws them from PyTorch's generator, at
        # every access to the weight.
        self.draw: Tensor | None = None

    def forward(self, weight: Tensor) -> Tensor:
        """Weight as the network meets it, same shape."""
        with torch.no_grad():
            if self.weights == "ternary":
                seen = ternarise(weight)
            else:
                # Weights that are all equal have no spread to be clipped at.
                spread, largest = weight.std(correction=0), weight.abs().max()
                limit = torch.where(spread > ALL_EQUAL * largest, self.clip_sigmas * spread, largest)
                seen = torch.clamp(weight, -limit, limit)
            if self.training:
                draw = torch.randn_like(seen) if self.draw is None else self.draw
                seen = seen + self.noise * seen.abs().max() * draw
        return weight + (seen - weight).detach()

    def extra_repr(self) -> str:
        """Settings, so that a checkpoint of other settings is told apart."""
        return f"noise={self.noise}, clip_sigmas={self.clip_sigmas}, weights={self.weights!r}"


def attach(model: nn.Module, **settings: object) -> dict[str, NoisyWeight]:
    """Put a `NoisyWeight` on every nn.Linear and nn.Conv2d of a model, in place; return them by layer name.

    Without the hook `WeightNoise` noise is drawn anew at every use of a weight, also within a forward pass.

    Raises
    ------
    ValueError
        If the model has no such layer, or one has noise already.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, CROSSBAR_LAYERS)}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no nn.Linear or nn.Conv2d layer to train with noise")
    if noisy := [name for name, layer in layers.items() if _is_noisy(name, layer)]:
        raise ValueError(f"layer {noisy[0]!r} has a noisy weight already; bake the model first")
    added = {name: NoisyWeight(**settings) for name in layers}
    for name, layer in layers.items():
        # Unsafe only in that torch does not try the parametrisation on a sample weight.
        parametrize.register_parametrization(layer, "weight", added[name], unsafe=True)
    return added


def bake(model: nn.Module) -> nn.Module:
    """Replace every noisy weight by its clipped or ternary value without noise, in place.

    Other parametrisations stay. A weight that several layers shared becomes a weight of each.
    """
    for name, layer in model.named_modules():
        if _is_noisy(name, layer):
            layer.parametrizations["weight"].eval()
    return quantisers.detach(model, select=_is_noisy)


def _is_noisy(name: str, layer: nn.Module) -> bool:
    made = layer.parametrizations["weight"] if parametrize.is_parametrized(layer, "weight") else ()
    return any(isinstance(step, NoisyWeight) for step in made)


class WeightNoise(Hook):
    """Training hook that draws the weight noise of every step.

    Parameters
    ----------
    weights
        What `attach` returned.
    seed
        Names the streams, with layer, epoch and step.
    """

    def __init__(self, weights: dict[str, NoisyWeight], *, seed: int) -> None:
        self.weights, self.seed = weights, seed

    def __repr__(self) -> str:
        """Settings that a resumed run must share."""
        return f"WeightNoise(seed={self.seed}, layers={list(self.weights)})"

    def before_step(self, model: nn.Module, epoch: int, step: int) -> None:
        """Draw the noise of one step."""
        for name, noisy in self.weights.items():
            layer = model.get_submodule(name)
            original = layer.parametrizations["weight"].original
            generator = rng.torch_stream(self.seed, "weight noise", name, epoch, step)
            noisy.draw = torch.randn(original.shape, generator=generator).to(original)
