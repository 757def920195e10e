"""What the engine and a microcontroller can hold, checked before anything is compiled."""

from __future__ import annotations

from nonideal.mcu.convolutions import FEATURES, LAYERS, TAPS, Convolutions
from nonideal.mcu.fit import (
    FAST_BITS,
    FP130_ENTRY,
    LANE_ENTRY,
    MIN_ACTIVE,
    NF4_BYTES,
    ROW_LIMITS,
    TARGETS,
    WIDTH_MULTIPLE,
    WORD_BITS,
    Target,
)
from nonideal.mcu.integer import (
    ACCUMULATOR_LARGEST,
    INPUT_LARGEST,
    INPUT_LOWEST,
    IntegerLayer,
    IntegerNetwork,
)
from nonideal.mcu.packing import pack

MAX_INPUTS = 2**16 - 1  # uint16 in ni_layer; in ni_snn_network of steps too
MAX_WIDTH = 1024  # outputs: NI_SUM_WORDS of the host library, work.h
MAX_ROW = 2**14 - 2  # row offset + 1 in 14 bits, lanes.h
MAX_ACTIVE = 128  # lanes.h; see `MIN_ACTIVE`

# Bytes of RAM that code takes which runs from it, in whole words; seen with zig 0.17, checked by the linker.
# What is left lists active inputs, and images with more of them take two rounds.
LANE_CODE = 220  # of all fast lane kernels together
ROWS_CODE = {1: 520, 2: 520, 4: 532}  # of those whose codes have this number of bits
FAST_CODE = {"fp130": 584, "nf4": 352}
PLAIN_CODE = 288  # of each plain kernel
CONVOLUTION_CODE = {"fast": 204, "plain": 196}  # of a CNN, whose other kernels run from flash

# Workspace of the convolutions, sizes of ni_fast_work and ni_plain_work in work.h, in bytes.
FAST_WORK = 4 * (9 * 16 + 8 * 14 + 6 + 4 * 7) + 2 * 28
PLAIN_WORK = 4 * 16 * 16  # and the features
FEATURE_BYTES = 2
FEATURE_LARGEST = 2**16 - 1


def padded(width: int) -> int:
    """Accumulators that a layer of that width needs room for."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def get_target(name: str) -> Target:
    """Target of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in TARGETS:
        raise ValueError(f"target {name!r} is not known; targets are {', '.join(TARGETS)}")
    return TARGETS[name]


def check_engine(network: IntegerNetwork, kernel: str) -> None:
    """Refuse what the engine cannot compute.

    Raises
    ------
    ValueError
        If a layer is too wide or an accumulator could overflow; the message names layer and limit.
    """
    if network.convolutions is not None:
        _check_convolutions(network.convolutions)
    for index, layer in enumerate(network.layers, 1):
        name = f"layer {index} ({layer.weight_format}, {layer.inputs} to {layer.outputs})"
        for what, found, limit in (
            ("inputs", layer.inputs, MAX_INPUTS),
            ("outputs", layer.outputs, MAX_WIDTH),
        ):
            if found > limit:
                raise ValueError(f"{name}: too wide, {found} {what}; the engine takes at most {limit}")
        signed = index == 1 and network.convolutions is None
        bound = layer.bound(lowest=INPUT_LOWEST if signed else 0, highest=INPUT_LARGEST)
        if bound > ACCUMULATOR_LARGEST:
            raise ValueError(
                f"{name}: an accumulator could reach {bound}, 32 bits hold {ACCUMULATOR_LARGEST}; "
                f"use fewer inputs or smaller weights"
            )
        rows = layer.inputs * row_words(layer)
        if kernel == "fast" and layer.weight_format in ROW_LIMITS and rows > MAX_ROW:
            raise ValueError(
                f"{name}: too wide, its rows take {rows} words where the fast kernel "
                f"addresses {MAX_ROW}; make it narrower or use kernel='plain'"
            )


def _check_convolutions(convolutions: Convolutions) -> None:
    bounds, feature = convolutions.bounds(lowest=INPUT_LOWEST, highest=INPUT_LARGEST)
    for index, bound in enumerate(bounds, 1):
        if bound > ACCUMULATOR_LARGEST:
            raise ValueError(
                f"convolution {index}: an accumulator could reach {bound}, "
                f"32 bits hold {ACCUMULATOR_LARGEST}; use smaller weights"
            )
    if feature > FEATURE_LARGEST:
        raise ValueError(
            f"convolution {LAYERS}: a feature could reach {feature}, 16 bits hold {FEATURE_LARGEST}; "
            f"drop more than {convolutions.shifts[-1]} bits after it (shifts) or use smaller weights"
        )


def row_words(layer: IntegerLayer) -> int:
    """Words of a row in the fast layout."""
    return -(-layer.outputs * FAST_BITS[layer.weight_format] // WORD_BITS)


def sum_words(network: IntegerNetwork) -> int:
    """NI_SUM_WORDS of work.h: 16-bit sums, two a word, of the layer that needs most."""
    return max(
        (
            row_words(layer) * WORD_BITS // min(FAST_BITS[layer.weight_format], 4) // 2
            for layer in network.layers
            if layer.weight_format in ROW_LIMITS
        ),
        default=1,
    )


def listed_rows(network: IntegerNetwork) -> int:
    """NI_ROWS of work.h: the largest NI_LIMIT of the network's kernels."""
    return max(ROW_LIMITS.get(layer.weight_format, 1) for layer in network.layers)


def whole_blocks(network: IntegerNetwork) -> int:
    """NI_WHOLE_BLOCKS of fold.h: widths of codes (2, 4) of which all rows are whole blocks of words."""
    strides: dict[int, list[int]] = {}
    for layer in network.layers:
        strides.setdefault(min(FAST_BITS[layer.weight_format], 4), []).append(row_words(layer))
    return sum(bits for bits, rows in strides.items() if bits > 1 and not any(row % bits for row in rows))


def flash_of_data(network: IntegerNetwork, kernel: str) -> list[int]:
    """Flash for each layer's weights and row sums, in bytes; filters are counted with the first layer."""
    sizes = [4 * len(pack(layer.weights, layer.weight_format, kernel).words) for layer in network.layers]
    if network.convolutions is None:
        sizes[0] += 4 * network.layers[0].outputs
    else:
        sizes[0] += LAYERS * TAPS * network.convolutions.channels
    return sizes


def image_bytes(network: IntegerNetwork, kernel: str) -> int:
    """NI_MODEL_X of an export: room for the image and for what overwrites it, in bytes, whole words.

    These are activations, of a CNN those of its features as well, and with the fast kernel the features.
    """
    features = 0
    if network.convolutions is not None:
        each = FEATURE_BYTES if kernel == "fast" else 1
        features = each * FEATURES * network.convolutions.channels
    return -(-max(*network.sizes, features) // 4) * 4


def accumulator_words(network: IntegerNetwork, kernel: str) -> int:
    """NI_MODEL_Y of an export: room for accumulators, and of a CNN for its convolutions' work, in words."""
    width = padded(max(network.sizes[1:]))
    if network.convolutions is None:
        return width
    return max(width, -(-convolution_bytes(network.convolutions, kernel) // 4))


def convolution_bytes(convolutions: Convolutions, kernel: str) -> int:
    """NI_MEMORY_BYTES of work.h: workspace of the convolutions."""
    return FAST_WORK if kernel == "fast" else PLAIN_WORK + FEATURE_BYTES * FEATURES * convolutions.channels


def ram_of_data(network: IntegerNetwork, kernel: str) -> int:
    """RAM for image, accumulators, class and lists, without the list of active inputs, in bytes.

    In a CNN convolutions and layers take turns in the same memory.
    """
    if network.convolutions is not None:
        shared = max(convolution_bytes(network.convolutions, kernel), _layer_bytes(network, kernel))
        return image_bytes(network, kernel) + shared + 4 * network.sizes[-1] + 4
    return image_bytes(network, kernel) + _layer_bytes(network, kernel) + 4


def _layer_bytes(network: IntegerNetwork, kernel: str) -> int:
    """Accumulators and lists of the fully connected layers."""
    ram = 4 * padded(max(network.sizes[1:]))
    formats = {layer.weight_format for layer in network.layers}
    if kernel == "fast" and formats & ROW_LIMITS.keys():
        ram += 4 * sum_words(network) + 2 * (listed_rows(network) + 2)
    return ram + (NF4_BYTES if "nf4" in formats else 0)


def layers_in_ram(network: IntegerNetwork, kernel: str, target: Target) -> bool:
    """Whether the kernels of fully connected layers run from RAM: where their code fits beside the data.

    A CNN's run from flash; see `convolutions_in_ram`.
    """
    if network.convolutions is not None:
        return False
    data = ram_of_data(network, kernel) + list_bytes(network, kernel, MIN_ACTIVE)
    return data + _kernel_bytes(network, kernel) <= target.ram - target.stack


def ram_of_code(network: IntegerNetwork, kernel: str, target: Target) -> int:
    """RAM for the kernels of fully connected layers, in bytes; none where they run from flash."""
    return _kernel_bytes(network, kernel) if layers_in_ram(network, kernel, target) else 0


def _kernel_bytes(network: IntegerNetwork, kernel: str) -> int:
    """Size of the kernels of a network's fully connected layers."""
    formats = {layer.weight_format for layer in network.layers}
    if kernel == "plain":
        return PLAIN_CODE * len(formats)
    widths = {min(FAST_BITS[name], 4) for name in formats & ROW_LIMITS.keys()}
    lanes = LANE_CODE + sum(ROWS_CODE[bits] for bits in widths) if widths else 0
    return lanes + sum(FAST_CODE.get(name, 0) for name in formats)


def active_inputs(network: IntegerNetwork, kernel: str, target: Target) -> int:
    """NI_ACTIVE of work.h: as many inputs at once as the RAM that is left can list, at most 128."""
    code = ram_of_code(network, kernel, target)
    free = target.ram - target.stack - code - ram_of_data(network, kernel)
    if network.convolutions is not None:
        shared = convolution_bytes(network.convolutions, kernel) - _layer_bytes(network, kernel)
        most = min(MAX_ACTIVE, shared // 4 - 2)
        if entry := _entry_bytes(network, kernel):  # of a list beside what takes turns
            most = min(most, (free - CONVOLUTION_CODE[kernel]) // entry - 1)
        return max(MIN_ACTIVE, most)
    return max(0, min(MAX_ACTIVE, free // (_entry_bytes(network, kernel) or LANE_ENTRY) - 1))


def _entry_bytes(network: IntegerNetwork, kernel: str) -> int:
    """Bytes of an active input in the lists of the kernels: lanes share one, fp130 has its own.

    The list of the lanes of a CNN takes turns with its convolutions and is not counted.
    """
    formats = {layer.weight_format for layer in network.layers} if kernel == "fast" else set()
    lanes = LANE_ENTRY if network.convolutions is None and formats & ROW_LIMITS.keys() else 0
    return lanes + (FP130_ENTRY if "fp130" in formats else 0)


def list_bytes(network: IntegerNetwork, kernel: str, active: int) -> int:
    """RAM for lists of so many active inputs, of a CNN only what does not take turns with convolutions."""
    return _entry_bytes(network, kernel) * (active + 1)


def convolutions_in_ram(network: IntegerNetwork, kernel: str, target: Target) -> bool:
    """Whether the inner loop of a CNN's convolutions fits into the RAM that its data leave."""
    if network.convolutions is None:
        return False
    listed = list_bytes(network, kernel, active_inputs(network, kernel, target))
    free = target.ram - target.stack - ram_of_data(network, kernel) - listed
    return free >= CONVOLUTION_CODE[kernel]


def check_target(network: IntegerNetwork, kernel: str, name: str) -> None:
    """Refuse what cannot fit a microcontroller, counting data only; the linker counts the code as well.

    Raises
    ------
    ValueError
        If flash or RAM do not suffice; the message names the layer that passes the limit.
    """
    target = get_target(name)
    used = 0
    for index, size in enumerate(flash_of_data(network, kernel), 1):
        used += size
        if used > target.flash:
            raise ValueError(
                f"layer {index}: weights up to here take {used} bytes of flash, {name} has {target.flash}; "
                f"use fewer weights or bits, or target=None to export for another machine"
            )
    ram = ram_of_data(network, kernel) + list_bytes(network, kernel, MIN_ACTIVE)
    if ram <= target.ram - target.stack:
        return
    there = f"{name} has {target.ram}, of which {target.stack} are for the stack"
    if network.convolutions is not None:
        raise ValueError(
            f"convolutions: {network.convolutions.channels} channels take {ram} bytes of RAM with the "
            f"{kernel} kernel; {there}; use fewer channels, or target=None to export for another machine"
        )
    image, widest = network.sizes[0], max(network.sizes)
    index = 1 if widest == image else network.sizes.index(widest)
    raise ValueError(
        f"layer {index}: an image of {image} pixels and layers up to {max(network.sizes[1:])} wide take "
        f"{ram} bytes of RAM with the {kernel} kernel; {there}; use smaller images or layers, or target=None "
        f"to export for another machine"
    )
