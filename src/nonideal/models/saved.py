"""Networks in files that say what they are, and networks recognised from a bare state.

A model file holds ``model`` (a key of `KNOWN`), ``settings`` (its keyword arguments) and ``state``: text,
numbers and tensors, read without executing anything.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nonideal import tensorfile
from nonideal.models.cnn import cnn
from nonideal.models.fc import fc
from nonideal.models.resnet import resnet8, resnet20, resnet32
from nonideal.models.vgg import vgg_narrow
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream

KEYS = ("model", "settings", "state")
# Networks of ordinary layers whose sizes follow from their first and last weights.
ORDINARY = {"resnet8": resnet8, "resnet20": resnet20, "resnet32": resnet32, "vgg_narrow": vgg_narrow}
KNOWN = {"cnn": cnn, "fc": fc, **ORDINARY}
# How a quantised layer is printed in the identity of a checkpoint.
LAYER = re.compile(r"QuantLinear\(\[.*?\], (\w+), activation_bits=(None|\d+)")

State = Mapping[str, Tensor]


class SavedNetworkError(ValueError):
    """A file that holds no network of this project; the message names file, key and remedy."""


def save(model: nn.Module, path: str | os.PathLike[str], name: str, **settings: Any) -> None:
    """Write a network with what is needed to build it again.

    Parameters
    ----------
    model
        What ``KNOWN[name](**settings)`` made, trained or not.
    path
        File to write.
    name
        Key of `KNOWN`.
    **settings
        Keyword arguments of that network.

    Raises
    ------
    ValueError
        If name and settings do not give a network with this state.
    """
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    if name not in KNOWN:
        raise ValueError(f"model {name!r} is not known here; known are {', '.join(KNOWN)}")
    if _shapes(name, settings) != {key: value.shape for key, value in state.items()}:
        raise ValueError(f"model {name!r} with settings {settings} has other weights than the network given")
    # Formats and widths of activations are not in the shapes.
    if str(_empty(name, settings)) != str(model):
        raise ValueError(
            f"model {name!r} with settings {settings} is not the network given; "
            "pass the settings it was made with"
        )
    tensorfile.save({"model": name, "settings": settings, "state": state}, path)


def described(content: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[nn.Module, str, dict]:
    """Network of a model file's content, in evaluation mode, with its name and settings.

    Raises
    ------
    SavedNetworkError
        If a part is missing, of another kind, or does not fit the others.
    """
    name, settings, state = (content.get(key) for key in KEYS)
    whole = isinstance(name, str) and isinstance(settings, dict) and isinstance(state, dict)
    if not whole or name not in KNOWN:
        raise SavedNetworkError(
            f"{path}: a model file holds model (one of {', '.join(KNOWN)}), settings and state; found "
            f"{name!r}, {type(settings).__name__} and {type(state).__name__}; "
            "write it with nonideal.models.saved.save"
        )
    try:
        # Sizes are believed only where there are as many numbers: they decide how much memory is taken.
        if _shapes(name, settings) != {key: value.shape for key, value in state.items()}:
            raise ValueError("other weights")
        model = KNOWN[name](generator=torch_stream(0, "saved"), **settings)
        model.load_state_dict(state)
    except Exception as error:  # a foreign file can hold anything under these keys
        raise SavedNetworkError(
            f"{path}: the state does not fit model {name!r} with settings {settings} "
            f"({type(error).__name__}: {str(error).splitlines()[-1].strip() if str(error) else ''}); "
            "save it again with nonideal.models.saved.save"
        ) from error
    return model.eval(), name, settings


def _shapes(name: str, settings: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Shapes of a network's state, without memory for its weights."""
    return {key: value.shape for key, value in _empty(name, settings).state_dict().items()}


def _empty(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """A network without its weights."""
    with torch.device("meta"):
        return KNOWN[name](generator=None, **settings)


def setting(name: str, settings: Mapping[str, Any], key: str) -> Any:
    """Value of a setting that a network was made with or has by default; None if it has no such setting."""
    known = inspect.signature(KNOWN[name]).parameters
    return settings.get(key, known[key].default) if key in known else None


def printed_layers(identity: Mapping[str, Any]) -> tuple[tuple[str, int | None], ...]:
    """Weight format and activation bits of the layers of a checkpoint, in order; none if it names none."""
    found = LAYER.findall(str(identity.get("model", "")))
    return tuple((name, None if bits == "None" else int(bits)) for name, bits in found)


def recognised(
    state: State,
    path: str | os.PathLike[str],
    formats: tuple[str | None, ...] = (),
    activation_bits: tuple[int | None, ...] = (),
) -> tuple[nn.Module, str, dict[str, Any]]:
    """Network that a bare state belongs to, in evaluation mode, with its name and settings.

    Parameters
    ----------
    state
        State of a ``fc``, ``cnn``, or one of the networks `ORDINARY`.
    path
        Where it was found, for messages.
    formats
        Weight formats: of the layers of a ``fc`` (the first that is not None counts), of the first and the
        other fully connected layers of a ``cnn`` (None is the network's default). A state holds weights and
        scales but not the names of their formats.
    activation_bits
        Of the layers of a ``fc`` (the first counts); those that this project trains with if there are none.

    Raises
    ------
    SavedNetworkError
        If the state belongs to no network known here, or the formats are needed and not given.
    """
    if not state or not all(isinstance(key, str) for key in state):
        raise SavedNetworkError(f"{path}: holds no state of a network; {_remedy()}")
    if hint := parametrised(state):
        raise SavedNetworkError(f"{path}: {hint}")
    try:
        if any(key.startswith("convolutions.") for key in state):
            name, settings = "cnn", _cnn(state, formats)
        elif all(re.fullmatch(r"layers\.\d+\.(weight|scale)", key) for key in state):
            name, settings = "fc", _fc(state, path, formats)
            if activation_bits:
                settings["activation_bits"] = activation_bits[0]
        else:
            name, settings = _ordinary(state, path)
    except (LookupError, TypeError) as error:  # a tensor is missing, or has other axes
        raise SavedNetworkError(
            f"{path}: looks like a network of this project but is none; {_remedy()}"
        ) from error
    model, _, _ = described({"model": name, "settings": settings, "state": dict(state)}, path)
    return model, name, settings


def parametrised(state: Mapping[str, Any]) -> str | None:
    """What is to be done about a state of a network with quantisers attached; None if there are none."""
    named = (key for key in state if ".parametrizations." in f".{key}")
    if (quantiser := next(named, None)) is None:
        return None
    return (
        f"{quantiser!r} belongs to a network with quantisers attached; "
        "detach them (nonideal.quantize.attach.detach) and save again"
    )


def _matrices(state: State) -> list[Tensor]:
    found = [key for key in state if re.fullmatch(r"layers\.\d+\.weight", key)]
    return [state[key] for key in sorted(found, key=lambda key: int(key.split(".")[1]))]


def _fc(state: State, path: str | os.PathLike[str], formats: tuple[str | None, ...]) -> dict[str, Any]:
    matrices = _matrices(state)
    scale = state.get("layers.0.scale")
    named = next(filter(None, formats), None)
    weight_format = "float" if scale is None else (named or _format_of_place(path))
    return {
        "input_pixels": matrices[0].shape[1],
        "widths": [len(matrix) for matrix in matrices[:-1]],
        "classes": len(matrices[-1]),
        "weight_format": weight_format,
        # A float network computes with float activations, as `nonideal.bits` trains them.
        "activation_bits": None if weight_format == "float" else 8,
        "per_channel": scale is not None and scale.numel() > 1,
    }


def _cnn(state: State, formats: tuple[str | None, ...]) -> dict[str, Any]:
    matrices = _matrices(state)
    settings = {
        "channels": len(state["convolutions.0.weight"]),
        "widths": [len(matrix) for matrix in matrices[:-1]],
        "classes": len(matrices[-1]),
    }
    # Without names, those of the network's defaults.
    named = zip(("first_format", "weight_format"), formats, strict=False)
    return settings | {key: name for key, name in named if name is not None}


def _ordinary(state: State, path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    filters = [value for value in state.values() if value.ndim == 4]
    matrices = [value for value in state.values() if value.ndim == 2]
    shapes = {key: value.shape for key, value in state.items()}
    if filters and matrices:
        settings = {
            "channels": filters[0].shape[1],
            "width": filters[0].shape[0],
            "classes": matrices[-1].shape[0],
        }
        for name in ORDINARY:
            if _shapes(name, settings) == shapes:
                return name, settings
    first = next(iter(state), "nothing")
    raise SavedNetworkError(
        f"{path}: not a network of this project (its state starts with {first!r}); {_remedy()}"
    )


def _remedy() -> str:
    return (
        f"known are fc, cnn, {', '.join(ORDINARY)}; give other networks as module:callable, with --state for "
        "the weights (harden and deploy take any, export only fc and cnn)"
    )


def _format_of_place(path: str | os.PathLike[str]) -> str:
    """Format by the folder a run keeps its networks in, ``training/<format>/networks.pt``."""
    folder = Path(path).resolve().parent.name
    if folder not in FORMATS:
        raise SavedNetworkError(
            f"{path}: the weights have a scale but the file does not name their format; "
            f"give --weight-format, one of {', '.join(FORMATS)}"
        )
    return folder
