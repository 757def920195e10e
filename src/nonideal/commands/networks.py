"""The network a command works on: a file of this project, or a callable of the user's."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nonideal import tensorfile
from nonideal.commands import UsageError
from nonideal.models import saved
from nonideal.models.cnn import Cnn, FilterBank
from nonideal.models.fc import FullyConnected, fc
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream

CALLABLE = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<attribute>[A-Za-z_][\w.]*)")
SEED = 0  # of the global stream while a user's callable draws initial weights


@dataclass(frozen=True)
class Network:
    """A network in evaluation mode.

    Attributes
    ----------
    model
        The network.
    name, settings
        As `nonideal.models.registry.build`; None if the network is the user's.
    """

    model: nn.Module
    name: str | None = None
    settings: dict[str, Any] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which network is meant."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="networks.pt, network.pt, checkpoint or model file of this project, or MODULE:CALLABLE, which "
        "imports your module (this runs its code) and calls it for a torch.nn.Module",
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="state_dict to load into the network of MODULE:CALLABLE"
    )
    parser.add_argument(
        "--repetition", type=int, metavar="N", help="which network of a networks.pt; the first if not given"
    )
    parser.add_argument(
        "--weight-format",
        choices=("float", *FORMATS),
        metavar="FORMAT",
        help=f"weight format of a networks.pt that lies outside its run: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--first-format",
        choices=tuple(FORMATS),
        metavar="FORMAT",
        help="the same of the first fully connected layer of a cnn",
    )


def load(arguments: argparse.Namespace) -> Network:
    """Network that the arguments of `add_arguments` name; says so where its weights may be untrained.

    Raises
    ------
    UsageError
        If there is no such file, or what was found is no network.
    nonideal.models.saved.SavedNetworkError
        If the file holds another network than those of this project.
    """
    named = arguments.network
    parts = CALLABLE.fullmatch(named)
    if parts and not Path(named).exists():
        _refuse(arguments, ("repetition", "weight_format", "first_format"), "a network of MODULE:CALLABLE")
        model = imported(parts["module"], parts["attribute"])
        if arguments.state is not None:
            load_state(model, arguments.state)
        else:
            print(f"no --state: with the weights that {named} starts with", file=sys.stderr)
        if isinstance(model, nn.DataParallel):  # one device here
            model = model.module
        return Network(model.float().eval())
    if arguments.state is not None:
        raise UsageError(f"--state {arguments.state}: goes with MODULE:CALLABLE, but {named} is a file")
    formats = (arguments.first_format, arguments.weight_format)
    network = from_file(Path(named), repetition=arguments.repetition, formats=formats)
    for name in ("weight_format", "first_format"):
        known, given = saved.setting(network.name, network.settings, name), getattr(arguments, name)
        if given is not None and known is None:
            _refuse(arguments, (name,), f"the network of {named}, which is a {network.name}")
        if given is not None and given != known:
            raise UsageError(f"--{name.replace('_', '-')} {given}: the network of {named} is {known}")
    return network


def imported(module: str, attribute: str) -> nn.Module:
    """Network of the user's own code; modules are looked for in the present folder first.

    Raises
    ------
    UsageError
        If the module cannot be imported, the callable fails, or it gives no torch.nn.Module.
    """
    place = f"{module}:{attribute}"
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if not isinstance(found, nn.Module):
            with torch.random.fork_rng(devices=[]):  # initial weights are the same at every call
                torch.manual_seed(SEED)
                found = found()
    except Exception as error:  # the user's code can raise anything
        raise UsageError(
            f"{place}: {type(error).__name__}: {error}; name an importable module (the present folder is "
            "looked in first) and a callable without arguments in it"
        ) from error
    finally:
        sys.path.remove(here)
    if not isinstance(found, nn.Module):
        raise UsageError(f"{place}: gave a {type(found).__name__}; it must return a torch.nn.Module")
    return found


def load_state(model: nn.Module, path: Path) -> None:
    """Load a state_dict into the user's network.

    Raises
    ------
    UsageError
        If the file is no state_dict, or not of this network.
    """
    content = _content(path)
    if isinstance(content, dict) and set(saved.KEYS) <= set(content):
        content = content["state"]
    content = _unwrapped(content, set(model.state_dict()))
    try:
        model.load_state_dict(content)
    except Exception as error:  # a foreign file can hold anything
        own = set(model.state_dict())
        foreign = (
            {str(key): None for key in content if key not in own} if isinstance(content, Mapping) else {}
        )
        if hint := saved.parametrised(foreign):
            raise UsageError(f"{path}: does not fit {type(model).__name__}: {hint}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise UsageError(
            f"{path}: does not fit {type(model).__name__} ({reason}); save the state_dict of that network"
        ) from error


def _unwrapped(content: Any, wanted: set[str]) -> Any:
    """A state_dict out of a checkpoint of another program, without the prefix of a parallel wrapper."""
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(content, Mapping) and key not in wanted and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    prefix = "module."
    if isinstance(content, Mapping) and content and all(str(key).startswith(prefix) for key in content):
        bare = {str(key).removeprefix(prefix): value for key, value in content.items()}
        return bare if set(bare) == wanted else content
    return content


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], what: str) -> None:
    """Refuse options that say nothing about what was given."""
    if given := [name for name in names if getattr(arguments, name) is not None]:
        raise UsageError(f"--{given[0].replace('_', '-')}: does not apply to {what}; leave it out")


def from_file(path: Path, *, repetition: int | None = None, formats: tuple[str | None, ...] = ()) -> Network:
    """Network in a file of this project.

    Parameters
    ----------
    path
        Model file, checkpoint, state, or states by repetition.
    repetition
        Which of several; the first if None.
    formats
        As `nonideal.models.saved.recognised`; a checkpoint, which names them itself, has its own.

    Raises
    ------
    UsageError
        If the file is missing, damaged, or lacks the repetition.
    nonideal.models.saved.SavedNetworkError
        If it holds another network than those of this project.
    """
    content = _content(path)
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: holds a {type(content).__name__}, no network")
    if repetition is not None and not all(isinstance(key, int) for key in content):
        raise UsageError(f"--repetition {repetition}: {path} holds one network; leave it out")
    if set(content) == set(saved.KEYS):
        return Network(*saved.described(content, path))
    activation_bits: tuple[int | None, ...] = ()
    if isinstance(content.get("identity"), Mapping):
        state, layers = _of_checkpoint(content), saved.printed_layers(content["identity"])
        formats = tuple(name for name, _ in layers)[:2] or formats
        activation_bits = tuple(bits for _, bits in layers)
    elif all(isinstance(key, int) for key in content):
        state = _of_repetition(content, repetition, path)
    else:
        state = content
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        kinds = ", ".join(repr(key) for key in list(content)[:3])
        raise UsageError(f"{path}: holds no network or networks by repetition (its keys: {kinds} ...)")
    return Network(*saved.recognised(state, path, formats, activation_bits))


def _of_checkpoint(content: Mapping[str, Any]) -> Any:
    """State of the network a training would end with: the averaged one, if weights are averaged."""
    average = content.get("average")
    if not isinstance(average, Mapping):
        return content.get("model")
    inside = "module."  # `AveragedModel` counts its updates beside the network
    return {key.removeprefix(inside): value for key, value in average.items() if str(key).startswith(inside)}


def _of_repetition(content: Mapping[int, Any], repetition: int | None, path: Path) -> Any:
    wanted = min(content) if repetition is None else repetition
    if wanted not in content:
        known = ", ".join(str(key) for key in content)
        raise UsageError(f"{path}: has no repetition {wanted}; --repetition is one of {known}")
    return content[wanted]


def _content(path: Path) -> Any:
    try:
        return tensorfile.load(path)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; give a file of this project, or MODULE:CALLABLE of yours"
        ) from None
    except tensorfile.TensorFileError as error:
        reason = str(error.__cause__).splitlines()[0][:120] if str(error.__cause__) else ""
        raise UsageError(
            f"{path}: not a file of tensors that can be read without executing it ({reason}); "
            "save model.state_dict() with torch.save, and give the network as MODULE:CALLABLE"
        ) from error


def filter_banks(model: nn.Module) -> int:
    """Layers of a cnn that are no matrix, and so on no crossbar."""
    return sum(isinstance(module, FilterBank) for module in model.modules())


def unquantised(network: Network) -> Network:
    """Network to fine-tune: a fully connected one as float layers that hold the weights of its grid.

    Raises
    ------
    UsageError
        If it is a cnn, whose filters are integers.
    """
    model = network.model
    if isinstance(model, Cnn):
        raise UsageError(
            "a cnn has integer filters, which cannot be put on other levels; harden an fc or a resnet"
        )
    if not isinstance(model, FullyConnected) or network.settings is None:
        return network
    settings = network.settings | {"weight_format": "float", "clipping": None, "per_channel": False}
    result = fc(generator=torch_stream(0, "saved"), **settings)
    with torch.no_grad():
        for layer, source in zip(result.layers, model.layers, strict=True):
            layer.weight.copy_(source.effective_weight())
    return Network(result.eval(), network.name, settings)
