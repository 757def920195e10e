"""How images are read on the chips of a deployed network, once its weights at a time are known.

Images lie along axis 0 and are read in steps: on a CPU chip by chip, a few images a step, on a GPU all chips
in one call. Steps and layouts are there for speed. A network for which they are more than that is told by
`Snapshot`: one that mixes images is refused, one that needs another layout or one chip at a time gets it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

STEP_VALUES = 32 * 3 * 32 * 32
"""Input values a step on the CPU, 32 images of CIFAR-10: activations then stay in the second-level cache."""

GPU_BATCH = 1000
"""Images a step on a GPU, every chip at once."""

MIXED = 1e-4
"""Change of an image's logits with its neighbour, relative to the largest, that is no rounding."""


@dataclass
class Habits:
    """What reading a network has shown, kept for the reads to come.

    Attributes
    ----------
    separate
        Images do not see each other; unknown until a read has more than one step.
    channels_last
        Convolutions may see images and weights in the layout that is fastest.
    vectorised
        All chips can be read in one call.
    """

    separate: bool = False
    channels_last: bool = True
    vectorised: bool = True


class Snapshot:
    """Effective weights of all chips at one time; call it with images for logits.

    Attributes
    ----------
    weights
        By parameter name, (chips, *weights), compensation and batch normalisation included. With converters
        those of each array, (chips, arrays, *weights), compensation and normalisation beside them.
    """

    def __init__(self, model: nn.Module, weights: dict[str, Tensor], habits: Habits | None = None) -> None:
        self.model, self.weights = model, weights
        self.habits = Habits() if habits is None else habits

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width).

        Axis 0 holds the images, whatever the other axes are, and is read in steps.

        Raises
        ------
        TypeError
            If the images are no tensor.
        ValueError
            If there are no images, there is more than one step of them and the network mixes the images of a
            step, or the network returns anything but a tensor of logits.
        """
        if not isinstance(images, Tensor):
            raise TypeError(
                f"images must be one tensor (images, ...), got {type(images).__name__}: pass arrays through "
                "torch.from_numpy, and wrap a network of several inputs in one that takes a single tensor"
            )
        if not images.ndim or not len(images):
            raise ValueError("there are no images to classify")
        return self._batched(images) if images.is_cuda else self._one_by_one(images)

    def _one_by_one(self, images: Tensor) -> Tensor:
        """Chip by chip in small steps: on a CPU arithmetic is the limit, if the data stay in the cache."""
        step = max(1, STEP_VALUES // max(1, images[0].numel()))
        if not self.habits.channels_last:
            return self._chips(images.contiguous(), step, torch.contiguous_format)
        try:
            turned = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
            return self._chips(turned, step, torch.channels_last)
        except RuntimeError as error:
            # A network that takes views of a convolution's output needs them in the order of their axes.
            if "view size is not compatible" not in str(error):
                raise
        self.habits.channels_last = False
        return self._one_by_one(images)

    def _chips(self, images: Tensor, step: int, layout: torch.memory_format | None) -> Tensor:
        """Logits chip by chip, with weights of convolutions in a layout, or as they are."""
        logits = []
        for chip in range(len(next(iter(self.weights.values())))):
            one = {name: _in_layout(weight[chip], layout) for name, weight in self.weights.items()}
            if len(images) > step and not self.habits.separate:
                self._check_separate(one, images, step)
            logits.append(torch.cat([_logits(self.model, one, part) for part in images.split(step)]))
        return torch.stack(logits)

    def _batched(self, images: Tensor, batch: int = GPU_BATCH) -> Tensor:
        """All chips in one call: a GPU wants much work at once. Convolutions become grouped ones."""
        if len(images) > batch and not self.habits.separate:
            self._check_separate({name: weight[0] for name, weight in self.weights.items()}, images, batch)
        if self.habits.vectorised:
            run = vmap(lambda weights, part: _logits(self.model, weights, part), in_dims=(0, None))
            try:
                return torch.cat([run(self.weights, part) for part in images.split(batch)], dim=1)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError:  # NotImplementedError is one
                # Not every operation can be vectorised: autograd functions of one's own, recurrent layers.
                # What is wrong with the network itself is raised again below.
                pass
        logits = self._chips(images, batch, None)
        self.habits.vectorised = False
        return logits

    def _check_separate(self, weights: dict[str, Tensor], images: Tensor, step: int) -> None:
        """Refuse a network in which an image's logits depend on the other images of its step.

        Only the neighbour changes, never the number of images: rounding is then the same, and not even a
        converter's code can flip. A copy is read, for a network may keep a state.
        """
        first = images[:1]
        others = (images[k : k + 1] for k in range(len(images) - 1, 0, -1))
        other = next((image for image in others if not torch.equal(image, first)), None)
        if other is None:
            return  # all images are the same; a later read will tell
        model = copy.deepcopy(self.model)

        def alike(*pair: Tensor) -> Tensor:  # numpydoc ignore=GL08
            # A network that draws numbers is to draw the same each time, and nobody else other ones.
            with torch.random.fork_rng(range(torch.cuda.device_count()) if images.is_cuda else []):
                torch.default_generator.manual_seed(0)
                if images.is_cuda:
                    torch.cuda.manual_seed_all(0)
                return _logits(model, weights, torch.cat(pair)).double()

        mixed = alike(first, other)
        # What is not the same twice (numbers from elsewhere, a state that is kept) tells of no mixture.
        if not _independent(mixed, alike(first, first), alike(other, other)) and torch.allclose(
            mixed, alike(first, other), rtol=0, atol=0, equal_nan=True
        ):
            raise ValueError(
                "the logits of an image depend on the images that it is read with: axis 0 must hold the "
                "images (not time; recurrent layers that want time first can be given it inside the network) "
                "and no layer may take statistics over them (batch normalisation needs "
                f"track_running_stats=True). Otherwise read at most {step} along axis 0 at once; more are "
                f"read in steps, here {len(images)}"
            )
        self.habits.separate = True


def _independent(mixed: Tensor, firsts: Tensor, others: Tensor) -> bool:
    """Whether the logits of two images are those that each has beside itself."""
    half = len(mixed) // 2  # several rows an image are no mixture
    if len(mixed) != 2 * half or not half or not mixed.shape == firsts.shape == others.shape:
        return False
    expected = torch.cat([firsts[:half], others[half:]])
    finite = expected[expected.isfinite()].abs()
    bound = MIXED * finite.max().item() if len(finite) else 0.0
    return torch.allclose(mixed, expected, rtol=0, atol=bound, equal_nan=True)


def tensor_of(found: object) -> Tensor:
    """What a network returned, if it is one tensor of logits, (images, ...).

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(found, Tensor) or not found.ndim:
        kind = "a single number" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"the network returns {kind}, and chips want one tensor of logits (images, classes): wrap it in "
            "a module whose forward returns the logits alone"
        )
    return found


def _logits(model: nn.Module, weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits with these weights; layers that share a weight each have an array of their own."""
    return tensor_of(functional_call(model, weights, (images,), tie_weights=False))


def _in_layout(weight: Tensor, layout: torch.memory_format | None) -> Tensor:
    return weight if layout is None or weight.ndim != 4 else weight.contiguous(memory_format=layout)
