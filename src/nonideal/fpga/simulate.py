"""Simulation of the RTL, cycle by cycle, against the integers: every spike of every step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.sim import Simulator, SimulatorContext

from nonideal.fpga.rtl import Parallel, TimeMultiplexed
from nonideal.spiking.integer import SpikingNetwork

Design = TimeMultiplexed | Parallel
PERIOD_S = 1e-6  # of the simulated clock; only cycles count
PATIENCE = 8  # cycles for each neuron beyond its products, after which a design counts as stuck


class MismatchError(RuntimeError):
    """The RTL's spikes differ from those of the integers; the message says where."""


class Simulated(NamedTuple):
    """Spikes of a simulation, uint8 [n, steps, outputs], and clock cycles of each inference, int64 [n]."""

    spikes: np.ndarray
    cycles: np.ndarray


class _Bench:
    """A design under simulation: drives its inputs, collects what it puts out and counts cycles."""

    def __init__(self, context: SimulatorContext, design: Design) -> None:
        self.context, self.design = context, design
        self.serial = isinstance(design, TimeMultiplexed)
        self.current = design.layer.input_bits > 0
        self.outputs = (design.valid, design.spike if self.serial else design.spikes)
        self.clock = 0
        self.found: list[int] = []  # what came with `valid`: a neuron's spike or all of a step

    async def tick(self) -> None:
        """End the cycle."""
        _, _, valid, word = await self.context.tick().sample(*self.outputs)
        self.clock += 1
        if valid:
            self.found.append(word)

    async def write(self, values: np.ndarray) -> None:
        """Write all inputs, one a cycle."""
        self.context.set(self.design.write, 1)
        for address, value in enumerate(values.tolist()):
            if self.serial:
                self.context.set(self.design.address, address)
            self.context.set(self.design.data, value)
            await self.tick()
        self.context.set(self.design.write, 0)

    async def step(self, first: bool) -> None:
        """Start a time step and, if the design says when it is busy, wait for its end."""
        design, context = self.design, self.context
        if self.serial and self.current:
            context.set(design.hold, not first)
        context.set(design.start, 1)
        context.set(design.first, first)
        await self.tick()
        context.set(design.start, 0)
        limit = design.layer.outputs * (design.layer.inputs + PATIENCE)
        for _ in range(limit if self.serial else 0):
            if not context.get(design.busy):
                return
            await self.tick()
        if self.serial:
            raise MismatchError(f"the RTL is still busy {limit} cycles after the start of a step")

    async def infer(self, sample: np.ndarray, spikes: np.ndarray) -> int:
        """One inference; fills spikes [steps, outputs] and returns its cycles."""
        begin = self.clock
        self.found.clear()
        for t in range(len(spikes)):
            if t == 0 or not self.current:
                await self.write(sample if self.current else sample[t])
            await self.step(first=t == 0)
        wanted = spikes.size if self.serial else len(spikes)
        for _ in range(PATIENCE if self.serial else self.design.stages + PATIENCE):
            if len(self.found) == wanted:
                break
            await self.tick()
        cycles = self.clock - begin
        for _ in range(PATIENCE):  # nothing more may come
            await self.tick()
        if len(self.found) != wanted:
            raise MismatchError(f"the RTL put out {len(self.found)} results in an inference, not {wanted}")
        spikes[:] = self._bits().reshape(spikes.shape)
        return cycles

    def _bits(self) -> np.ndarray:
        words = np.array(self.found, dtype=object)
        if self.serial:
            return words.astype(np.uint8)
        return np.stack([(words >> j & 1).astype(np.uint8) for j in range(self.design.layer.outputs)], axis=1)


def simulate(design: Design, inputs: np.ndarray, steps: int) -> Simulated:
    """Run inferences on the RTL.

    Parameters
    ----------
    design
        One layer.
    inputs
        Constant current, uint8 [n, inputs], or spikes, uint8 [n, steps, inputs].
    steps
        Time steps of an inference.

    Returns
    -------
    Simulated
        Cycles run from the first write of an input to the last spike, one input written a cycle.

    Raises
    ------
    MismatchError
        If the design hangs or puts out too few or too many spikes.
    """
    spikes = np.zeros((len(inputs), steps, design.layer.outputs), np.uint8)
    cycles = np.zeros(len(inputs), np.int64)

    async def drive(context: SimulatorContext) -> None:  # numpydoc ignore=GL08
        bench = _Bench(context, design)
        for k, sample in enumerate(inputs):
            cycles[k] = await bench.infer(sample, spikes[k])

    simulator = Simulator(design)
    simulator.add_clock(PERIOD_S)
    simulator.add_testbench(drive)
    simulator.run()
    return Simulated(spikes, cycles)


class Verified(NamedTuple):
    """Clock cycles of an inference; spikes compared, 0 or 1, and how many of them were 1."""

    cycles: int
    compared: int
    fired: int


def verify(design: Design, inputs: np.ndarray, steps: int) -> Verified:
    """Require that the RTL gives every spike of the integers.

    Parameters
    ----------
    design, inputs, steps
        As for `simulate`.

    Raises
    ------
    MismatchError
        If one spike differs, or inferences take different numbers of cycles.
    """
    found, cycles = simulate(design, inputs, steps)
    wanted = SpikingNetwork((design.layer,), steps).run(inputs).spikes[0]
    differ = np.argwhere(found != wanted)
    if len(differ):
        sample, step, neuron = differ[0].tolist()
        raise MismatchError(
            f"RTL of a {design.layer.weight_format} layer, {design.layer.inputs} inputs, "
            f"{design.layer.outputs} neurons: {len(differ)} of {wanted.size} spikes differ from the integers "
            f"(first: inference {sample}, step {step}, neuron {neuron}), {found[sample, step, neuron]} "
            f"instead of {wanted[sample, step, neuron]}"
        )
    if len(set(cycles.tolist())) > 1:
        raise MismatchError(f"inferences took different numbers of cycles: {sorted(set(cycles.tolist()))}")
    return Verified(int(cycles[0]), wanted.size, int(wanted.sum()))
