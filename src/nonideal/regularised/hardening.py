"""Harden any network against quantisation, stuck cells and variable cells, in your own training loop."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import faults as stuck
from nonideal import variability as variable
from nonideal.quantize import attach
from nonideal.quantize.lsq import quantise_input
from nonideal.regularised import given
from nonideal.regularised.networks import Remap, exchange, parameter_groups, quantise
from nonideal.regularised.penalty import FLOAT_FORWARD, QUANTISER_LR, Course, Penalty
from nonideal.training import Hook, Settings, Tensors, train

FINE_TUNING_RAMP = 0.5  # of the run; the paper's last 10 of 20 epochs


class Hardened:
    """A network in hardening: what to call from a training loop.

    Attributes
    ----------
    model
        The network, with quantisers on its weights.
    """

    def __init__(
        self,
        model: nn.Module,
        penalty: Penalty,
        epochs: int,
        remap_epochs: int,
        cells: Callable[[], pd.DataFrame] | None = None,
    ) -> None:
        self.model, self.epochs, self._cells = model, epochs, cells
        self._penalty, self._remap, self._epoch = penalty, Remap(remap_epochs), 0

    @functools.cached_property
    def cells(self) -> pd.DataFrame | None:
        """Cells it is hardened for, as a map (`nonideal.cellmaps`); None for ideal ones.

        Made when it is first asked for: a row for every variable cell takes ten times the memory of the
        factors.
        """
        return None if self._cells is None else self._cells()

    def parameters(self) -> list[dict]:
        """Groups for an optimiser: weights at your rate, r and c of the quantisers at the paper's.

        Where the penalty alone would make r and c of a layer run away at that rate, they have the largest one
        that does not; see `nonideal.regularised.penalty.Penalty.largest_rates`.
        """
        groups = parameter_groups(1.0, QUANTISER_LR[False], limits=self._penalty.largest_rates(self.model))
        rest, *learned = groups(self.model)
        return [
            {"params": rest["params"]},
            *(
                {"params": group["params"], "lr": group["lr_factor"], "weight_decay": 0.0}
                for group in learned
            ),
        ]

    def largest_rate(self) -> float:
        """Learning rate of the weights at which a step of the penalty throws them beyond their levels."""
        return self._penalty.largest_rate(self.model)

    def begin(self, epoch: int, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Start an epoch, counted from 0: sets lambda, and remaps (`networks.Remap`) when it is time.

        Parameters
        ----------
        epoch
            Its number.
        optimiser
            Given, its learning rate is checked against `largest_rate` of the epoch.

        Raises
        ------
        nonideal.regularised.penalty.UnstableError
            If a step of the penalty would throw weights beyond their levels; the message names the layer.
        """
        self._epoch = epoch
        if optimiser is not None:
            self._penalty.check_rate(self.model, optimiser.param_groups[0]["lr"], epoch)
        self._remap.before_epoch(self.model, epoch)

    def penalty(self) -> Tensor | float:
        """Value to add to the loss of every step."""
        return self._penalty(self.model, self._epoch)

    def fine_tune(self, tensors: Tensors, settings: Settings, *, seed: int) -> pd.DataFrame:
        """Fine-tune with the training loop of this project instead of one of your own.

        Parameters
        ----------
        tensors
            Data set.
        settings
            Of the run, with as many epochs as the hardening.
        seed
            Names the random streams of the batches.

        Returns
        -------
        pandas.DataFrame
            As `nonideal.training.train`.

        Raises
        ------
        ValueError
            If the epochs differ.
        nonideal.regularised.penalty.UnstableError
            If the penalty is too strong for the learning rate.
        FloatingPointError
            If the loss, or a weight behind a quantiser, is no longer finite.
        """
        if settings.epochs != self.epochs:
            raise ValueError(
                f"hardening was prepared for {self.epochs} epochs, settings have {settings.epochs}"
            )
        self._penalty.check(self.model, settings)
        limits = self._penalty.largest_rates(self.model, settings)
        return train(
            self.model,
            tensors,
            settings,
            seed=seed,
            regulariser=lambda model, epoch: self.penalty(),
            hooks=[_Begin(self)],
            parameter_groups=parameter_groups(settings.lr, QUANTISER_LR[False], limits=limits),
        )

    def finish(self) -> nn.Module:
        """Copy of the network, in evaluation mode and without quantisers, with the weights the chip holds.

        Other parametrisations of weights stay. Quantisers of inputs (`activation_bits`) stay too: before the
        network has seen a batch they have no step yet, and the first batch that the copy evaluates sets it.
        """
        return attach.detach(copy.deepcopy(self.model).eval(), select=attach.quantised)


class _Begin(Hook):
    """Epochs of the training loop, told to the hardening."""

    def __init__(self, hardened: Hardened) -> None:
        self._hardened = hardened

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        self._hardened.begin(epoch)

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        # A level stands for any weight, so that the loss stays finite where weights do not.
        for name, weight in attach.original(model).items():
            if not bool(torch.isfinite(weight).all()):
                raise FloatingPointError(
                    f"weights of layer {name!r} are not finite in epoch {epoch + 1}: lower the learning rate"
                )


def harden(
    model: nn.Module,
    *,
    bits: int = 4,
    faults: float | str | os.PathLike[str] | Mapping[str, stuck.FaultMap] | None = None,
    variability: float | str | os.PathLike[str] | Mapping[str, Tensor] | None = None,
    mode: str = "active+passive",
    quantiser: str = "multiplier",
    layers: str = "inner",
    activation_bits: int | None = None,
    epochs: int = 20,
    remap_epochs: int = 4,
    alpha: str = "paper",
    p_stuck1: float = 0.5,
    seed: int = 0,
) -> Hardened:
    """Prepare a trained network for fine-tuning towards quantised, faulty or variable weights.

    Parameters
    ----------
    model
        Any trained network with layers that have a weight matrix or filter; it is changed in place.
    bits
        Bit cells of a weight, 1 .. 8.
    faults
        Share of stuck cells to draw, a map file (`nonideal.cellmaps`), or maps by layer; None for none.
    variability
        Standard deviation over mean of the cells to draw, a map file, or factors by layer; None for none.
    mode
        Mitigation of faults, one of `nonideal.faults.MODES`.
    quantiser
        ``fixed``, ``step`` or ``multiplier``.
    layers
        ``inner`` leaves the first and the last layer in full precision, ``all`` does not.
    activation_bits
        Bits of the inputs of the quantised layers, which must not be negative; None for float.
    epochs
        Epochs of the fine-tuning.
    remap_epochs
        Epochs between two remaps.
    alpha
        Factor of a layer's penalty, see `nonideal.quantize.losses.alpha`.
    p_stuck1, seed
        Of the faults and factors that are drawn.

    Raises
    ------
    ValueError
        If a setting is not allowed, faults and variability are both given, a map does not fit, or a layer to
        be quantised shares its weight with another; the network is then as it was.

    Examples
    --------
    >>> import torch, nonideal
    >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(3)])
    >>> hardened = nonideal.harden(model, faults=0.1, bits=4, epochs=1)
    >>> optimiser = torch.optim.SGD(hardened.parameters(), lr=0.01, momentum=0.9)
    >>> hardened.begin(0)
    >>> loss = model(torch.ones(2, 8)).square().mean() + hardened.penalty()
    >>> loss.backward(); optimiser.step()
    >>> chip = hardened.finish()
    """
    settings = {
        "faults": faults,
        "variability": variability,
        "mode": mode,
        "quantiser": quantiser,
        "activation_bits": activation_bits,
        "epochs": epochs,
        "remap_epochs": remap_epochs,
        "alpha": alpha,
        "seed": seed,
    }
    given.check_settings(settings)
    given.check_weights(model)
    quantise(model, quantiser, bits, policy=layers)
    device = next(model.parameters()).device
    cells = None
    try:
        given.check_shared(model)
        if faults is not None:
            maps = given.fault_maps(model, faults, bits, p_stuck1, seed)
            cells = functools.partial(stuck.to_frame, maps)
            exchange(model, lambda name, q: stuck.FaultyQuantiser(q, maps[name], mode))
        elif variability is not None:
            factors = given.factors(model, variability, bits, seed)
            cells = functools.partial(variable.to_frame, factors)
            exchange(model, lambda name, q: variable.VariableQuantiser(q, factors[name]))
        if activation_bits is not None:
            _quantise_inputs(model, activation_bits)
    except Exception:  # the network is as it was given
        for name in list(attach.attached(model)):
            attach.remove(model.get_submodule(name), leave=False)
        raise
    model.to(device)
    straight = faults is not None and mode == stuck.STRAIGHT_THROUGH
    strength = (0.0, 0.0) if straight else FLOAT_FORWARD
    penalty = Penalty(Course(*strength, epochs, FINE_TUNING_RAMP), alpha)
    return Hardened(model, penalty, epochs, remap_epochs, cells)


def _quantise_inputs(model: nn.Module, bits: int) -> None:
    given.check_inputs(model)
    for name in attach.attached(model):
        quantise_input(model.get_submodule(name), bits, name=name, refuse_negative=True)
