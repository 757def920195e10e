"""RTL of a dense layer of spiking neurons, in Amaranth: the integers of `nonideal.spiking.integer` in gates.

`TimeMultiplexed` reads its weights from block RAM, one input after the other, with one or several lanes that
each sum up one neuron. `Parallel` has the weights as constants in its adders and takes all inputs at once.
Both compute the same spikes.
"""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from nonideal.fpga.arithmetic import WEIGHT_BITS, encode, neuron, product, state_shape, sum_shape
from nonideal.spiking.integer import SpikingLayer


class TimeMultiplexed(Component):
    """Layer that reads one input, and one weight for each lane, a cycle.

    With `start`, it works through a time step: the lanes sum up the products of as many neurons (read,
    multiply, add: a pipeline of three stages), then these neurons step one after the other, and so on with
    the next. A layer with a current as its input keeps the sums beside the states: with `hold`, a step uses
    them again, for the current is constant.

    Ports: `write` stores `data` as input `address`. `start` begins a step, `first` with it the first one of
    an inference (V = 0). `valid` says that `spike` is the next neuron's, from neuron 0 on. `busy` is high
    during a step; while it is, `write` and `start` are not allowed.

    Parameters
    ----------
    layer
        Weights, threshold and kind of input.
    lanes
        Neurons that are summed up at once, at most the layer's.

    Raises
    ------
    ValueError
        If the format has no hardware or `lanes` is out of range.
    """

    def __init__(self, layer: SpikingLayer, *, lanes: int = 1) -> None:
        if not 1 <= lanes <= layer.outputs:
            raise ValueError(f"lanes must be 1 .. {layer.outputs}, the neurons of the layer; got {lanes}")
        self.layer, self.lanes = layer, lanes
        self.rows = _rows(layer, lanes)
        ports = {"write": In(1), "address": In(range(layer.inputs)), "data": In(max(layer.input_bits, 1))}
        ports |= {"start": In(1), "first": In(1)} | ({"hold": In(1)} if layer.input_bits else {})
        super().__init__(ports | {"busy": Out(1), "valid": Out(1), "spike": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Memories, lanes, one neuron and their control."""
        m = Module()
        self._index = Signal(range(self.layer.inputs))
        self._neuron = Signal(range(self.layer.outputs))
        self._lane = Signal(range(self.lanes))
        self._issue, self._update, self._last, self._fresh, self._held = (Signal() for _ in range(5))
        x, row = self._read(m)
        read, multiplied = Signal(), Signal()  # the pipeline's stages hold a value
        m.d.sync += [read.eq(self._issue), multiplied.eq(read)]
        self._step(m, self._sums(m, x, row, multiplied))
        self._control(m, read)
        return m

    def _read(self, m: Module) -> tuple[Value, Value]:
        """Input and row of weights that were addressed a cycle ago."""
        m.submodules.inputs = inputs = Memory(shape=len(self.data), depth=self.layer.inputs, init=[])
        width = WEIGHT_BITS[self.layer.weight_format] * self.lanes
        m.submodules.weights = weights = Memory(shape=width, depth=len(self.rows), init=self.rows)
        write, x, row = inputs.write_port(), inputs.read_port(), weights.read_port()
        m.d.comb += [write.en.eq(self.write), write.addr.eq(self.address), write.data.eq(self.data)]
        m.d.comb += x.addr.eq(self._index)
        # Rows lie in the order in which they are used, so a counter addresses them.
        position = Signal(range(len(self.rows)))
        m.d.comb += row.addr.eq(position)
        with m.If(self._issue):
            m.d.sync += position.eq(Mux(position == len(self.rows) - 1, 0, position + 1))
        return x.data, row.data

    def _sums(self, m: Module, x: Value, row: Value, multiplied: Value) -> Value:
        """Sum of the lane whose neuron steps next."""
        layer, bits, sums = self.layer, WEIGHT_BITS[self.layer.weight_format], []
        for lane in range(self.lanes):
            term = product(row.word_select(lane, bits), x, layer.weight_format, layer.input_bits)
            factor = Signal(term.shape(), name=f"product{lane}")
            total = Signal(sum_shape(layer), name=f"sum{lane}")
            m.d.sync += factor.eq(term)
            with m.If(multiplied):
                m.d.sync += total.eq(total + factor)
            with m.Elif(self._last):
                m.d.sync += total.eq(0)
            sums.append(total)
        return Array(sums)[self._lane]

    def _step(self, m: Module, fresh: Value) -> None:
        """One neuron; states, and sums of a constant current, lie in a memory."""
        layer, shape = self.layer, state_shape(self.layer)
        kept = sum_shape(layer).width if layer.input_bits else 0
        m.submodules.states = states = Memory(shape=shape.width + kept, depth=layer.outputs, init=[])
        read, write = states.read_port(), states.write_port()
        # The next neuron is read while this one is written.
        m.d.comb += read.addr.eq(Mux(self._update, self._neuron + 1, self._neuron))
        m.d.comb += [write.addr.eq(self._neuron), write.en.eq(self._update)]
        total, after = Signal(sum_shape(layer)), Signal(shape)
        if kept:
            fresh = Mux(self._held, read.data[shape.width :].as_signed(), fresh)
        m.d.comb += total.eq(fresh)
        charged, spike = neuron(Mux(self._fresh, 0, read.data[: shape.width].as_signed()), total, layer)
        m.d.comb += [after.eq(charged), write.data.eq(Cat(after, total[:kept]))]
        m.d.sync += [self.valid.eq(self._update), self.spike.eq(spike)]

    def _control(self, m: Module, read: Value) -> None:
        """Walk over inputs and neurons."""
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("idle"))
            with m.State("idle"), m.If(self.start):
                m.d.sync += self._fresh.eq(self.first)
                m.next = "sum"
                if self.layer.input_bits:
                    m.d.sync += self._held.eq(self.hold)
                    with m.If(self.hold):
                        m.next = "update"
            with m.State("sum"):
                m.d.comb += self._issue.eq(1)
                m.d.sync += self._index.eq(self._index + 1)
                with m.If(self._index == self.layer.inputs - 1):
                    m.d.sync += self._index.eq(0)
                    m.next = "drain"
            with m.State("drain"), m.If(~read):  # the last product is being added
                m.next = "update"
            with m.State("update"):
                m.d.comb += self._update.eq(1)
                m.d.sync += [self._neuron.eq(self._neuron + 1), self._lane.eq(self._lane + 1)]
                with m.If(~self._held & (self._lane == self.lanes - 1)):
                    m.d.comb += self._last.eq(1)
                    m.d.sync += self._lane.eq(0)
                    m.next = "sum"
                with m.If(self._neuron == self.layer.outputs - 1):
                    m.d.comb += self._last.eq(1)
                    m.d.sync += [self._neuron.eq(0), self._lane.eq(0)]
                    m.next = "idle"


def _rows(layer: SpikingLayer, lanes: int) -> list[int]:
    """Contents of the weight memory: group by group, input by input, a code per lane, lane 0 lowest."""
    codes, bits = encode(layer.weights, layer.weight_format), WEIGHT_BITS[layer.weight_format]
    padded = np.pad(codes, ((0, -len(codes) % lanes), (0, 0)))
    rows = padded.reshape(-1, lanes, layer.inputs).transpose(0, 2, 1).reshape(-1, lanes)
    return [sum(int(code) << bits * lane for lane, code in enumerate(row)) for row in rows]


class Parallel(Component):
    """Layer with constant weights: every weight has its own gates, and a time step is one cycle.

    Products and the adders' tree are pipelined, with a register behind each: a step passes through `stages`
    registers before its neurons, and the next one may follow a cycle later.

    Ports: `write` shifts `data` in, input 0 first. `start` is a step, `first` with it the first one of an
    inference (V = 0). `valid` says that `spikes` are those of the next step.

    Parameters
    ----------
    layer
        Weights, threshold and kind of input.

    Raises
    ------
    ValueError
        If the format has no hardware.
    """

    def __init__(self, layer: SpikingLayer) -> None:
        encode(layer.weights, layer.weight_format)
        self.layer = layer
        ports = {"write": In(1), "data": In(max(layer.input_bits, 1)), "start": In(1), "first": In(1)}
        super().__init__(ports | {"valid": Out(1), "spikes": Out(layer.outputs)})

    @property
    def stages(self) -> int:
        """Registers between inputs and neurons: products, additions, and the difference of two sums."""
        return 2 + (self.layer.inputs - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        """Shift register, adders and neurons."""
        m = Module()
        layer = self.layer
        inputs = [Signal(len(self.data), name=f"x{i}") for i in range(layer.inputs)]
        with m.If(self.write):
            m.d.sync += [x.eq(later) for x, later in zip(inputs, [*inputs[1:], self.data], strict=True)]
        steps = Signal(self.stages)  # bit k: a step has passed k + 1 stages
        fresh = Signal(self.stages)
        m.d.sync += [steps.eq(Cat(self.start, steps)), fresh.eq(Cat(self.first, fresh))]
        m.d.sync += self.valid.eq(steps[-1])
        for j, weights in enumerate(layer.weights.tolist()):
            plus = self._sum(
                m, [(x, weight) for x, weight in zip(inputs, weights, strict=True) if weight > 0]
            )
            minus = self._sum(
                m, [(x, -weight) for x, weight in zip(inputs, weights, strict=True) if weight < 0]
            )
            total = Signal(sum_shape(layer), name=f"sum{j}")
            state = Signal(state_shape(layer), name=f"state{j}")
            m.d.sync += total.eq(plus - minus)
            after, spike = neuron(Mux(fresh[-1], 0, state), total, layer)
            with m.If(steps[-1]):
                m.d.sync += [state.eq(after), self.spikes[j].eq(spike)]
        return m

    def _sum(self, m: Module, terms: list[tuple[Value, int]]) -> Value:
        """Sum of x * weight, `stages` - 1 registers behind the inputs; weights are positive."""
        level = []
        largest = 2 ** len(self.data) - 1
        for x, weight in terms:
            # A power of two costs no gates; anything else is a multiplier by a constant.
            shift = (weight & -weight).bit_length() - 1
            odd = weight >> shift
            factor = _registered(m, x * odd if odd > 1 else x, largest * odd)
            level.append((factor << shift, largest * weight))
        for _ in range(self.stages - 2):
            pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
            bounds = [sum(bound for _, bound in pair) for pair in pairs]
            level = [
                (_registered(m, sum((value for value, _ in pair[1:]), start=pair[0][0]), bound), bound)
                for pair, bound in zip(pairs, bounds, strict=True)
            ]
        return level[0][0] if level else Value.cast(0)


def _registered(m: Module, value: Value, bound: int) -> Signal:
    """Value, 0 .. bound, a cycle later."""
    register = Signal(range(bound + 1))
    m.d.sync += register.eq(value)
    return register
