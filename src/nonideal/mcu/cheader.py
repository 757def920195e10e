"""C header of an export: deterministic text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from nonideal.mcu import limits

if TYPE_CHECKING:
    from nonideal.mcu.export import Export

LINE = 108  # characters


def render(export: Export) -> str:
    """Text of the header."""
    network, count = export.network, len(export.network.layers)
    sizes = network.sizes
    digest = hashlib.sha256(b"".join(packed.words.tobytes() for packed in export.packed)).hexdigest()
    guard = f"NI_MODEL_{digest[:12].upper()}_H"  # of the content: two networks never share one
    lines = [
        "/* Weights of a low-bit network, made by nonideal.mcu.export; see nonideal.h for the engine.",
        " * Input of ni_infer: the image, normalised as in training, times 127 over the largest magnitude of",
        " * its values, rounded. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "#ifdef NI_MODEL",
        '#error "one network is included already: include each in a file of its own"',
        "#endif",
        "#define NI_MODEL",
        "",
        '#include "nonideal.h"',
        "",
        f"#define NI_MODEL_INPUTS {sizes[0]}",
        f"#define NI_MODEL_OUTPUTS {sizes[-1]}",
        f"#define NI_MODEL_WIDEST {max(sizes[1:])}",
        "/* Room that ni_infer needs: bytes of x, a whole number of words, and words of y. */",
        f"#define NI_MODEL_X {limits.image_bytes(network, export.kernel)}",
        f"#define NI_MODEL_Y {limits.accumulator_words(network, export.kernel)}",
        "",
    ]
    lines += _convolutions(export)
    for k, (layer, packed) in enumerate(zip(network.layers, export.packed, strict=True), 1):
        lines.append(
            f"/* Layer {k}: {layer.weight_format}, {layer.inputs} to {layer.outputs}, "
            f"scale {layer.scale!r}, stride {packed.stride}. */"
        )
        lines += _array(f"static const uint32_t ni_weights_{k}[{len(packed.words)}]", packed.words, hexa=True)
        if k == 1 and network.convolutions is None:
            lines += _array(f"static const int32_t ni_row_sums[{layer.outputs}]", export.row_sums())
        lines.append("")
    lines.append(f"static const ni_layer ni_layers[{count}] = {{")
    for k, (layer, packed) in enumerate(zip(network.layers, export.packed, strict=True), 1):
        sums = "ni_row_sums" if k == 1 and network.convolutions is None else "0"
        lines.append(
            f"    {{ni_{export.kernel}_{layer.weight_format}, ni_weights_{k}, {sums}, "
            f"{layer.inputs}, {layer.outputs}, {packed.stride}}},"
        )
    convolutions = "0" if network.convolutions is None else "&ni_filters"
    lines += ["};", f"static const ni_network ni_model = {{ni_layers, {convolutions}, {count}}};", ""]
    return "\n".join([*lines, *_golden(export), "", "#endif", ""])


def engine_macros(export: Export, target: limits.Target) -> dict[str, int | str]:
    """Sizes of the workspace and places of code for this network, as macros of work.h and internal.h."""
    network, kernel = export.network, export.kernel
    macros: dict[str, int | str] = {}
    if network.convolutions is None:
        macros["NI_NO_CONVOLUTIONS"] = 1
    else:
        memory = limits.convolution_bytes(network.convolutions, kernel)
        macros |= {
            "NI_SHARED_MEMORY": f"ni_{kernel}_work",
            "NI_MEMORY_BYTES": memory,
        }
        if not limits.convolutions_in_ram(network, kernel, target):
            macros["NI_CONVOLUTIONS_IN_FLASH"] = 1
    if not limits.layers_in_ram(network, kernel, target):
        macros["NI_LAYERS_IN_FLASH"] = 1
    return macros | {
        "NI_MAX_WIDTH": limits.padded(max(export.network.sizes[1:])),
        "NI_SUM_WORDS": limits.sum_words(export.network),
        "NI_ACTIVE": limits.active_inputs(export.network, export.kernel, target),
        "NI_ROWS": limits.listed_rows(export.network),
        "NI_WHOLE_BLOCKS": limits.whole_blocks(export.network),
    }


def _convolutions(export: Export) -> list[str]:
    """Filters of a CNN."""
    convolutions = export.network.convolutions
    if convolutions is None:
        return []
    shifts, scales = (", ".join(map(repr, values)) for values in (convolutions.shifts, convolutions.scales))
    taps = convolutions.weights.transpose(1, 0, 2).reshape(convolutions.channels, -1)
    return [
        f"/* Convolutions: 8bit, {convolutions.channels} channels, scales {scales}. */",
        *_array(f"static const int8_t ni_taps[{taps.shape[0]}][{taps.shape[1]}]", taps),
        f"static const ni_convolutions ni_filters = {{ni_{export.kernel}_convolutions, ni_taps[0], "
        f"{convolutions.channels}, {{{shifts}}}}};",
        "",
    ]


def _golden(export: Export) -> list[str]:
    """Golden vectors as constant arrays; a compiler drops those that a program does not use."""
    count, sizes = len(export.images), export.network.sizes
    lines = ["/* Golden vectors: images, the accumulators of every layer, the last of which are logits. */"]
    lines.append(f"#define NI_GOLDEN {count}")
    lines += _array(f"static const int8_t ni_golden_images[{count}][{sizes[0]}]", export.images)
    if export.network.convolutions is not None:
        features = export.network.features(export.images)
        lines += _array(f"static const uint16_t ni_golden_features[{count}][{features.shape[1]}]", features)
    for k, values in enumerate(export.accumulators[:-1], 1):
        lines += _array(f"static const int32_t ni_golden_accumulators_{k}[{count}][{sizes[k]}]", values)
    return lines + _array(
        f"static const int32_t ni_golden_logits[{count}][{sizes[-1]}]", export.accumulators[-1]
    )


def _array(declaration: str, values: np.ndarray, *, hexa: bool = False) -> list[str]:
    """Definition of an array of one or two dimensions."""
    if values.ndim == 2:
        rows = [f"    {{{', '.join(str(v) for v in row)}}}," for row in values.tolist()]
        return [f"{declaration} = {{", *(part for row in rows for part in _wrapped(row)), "};"]
    words = [f"0x{v:08x}" if hexa else str(v) for v in values.tolist()]
    return [f"{declaration} = {{", *_wrapped("    " + ", ".join(words)), "};"]


def _wrapped(text: str) -> list[str]:
    lines = []
    while len(text) > LINE:
        cut = text.rindex(", ", 0, LINE) + 1
        lines.append(text[:cut])
        text = "    " + text[cut + 1 :]
    return [*lines, text]
