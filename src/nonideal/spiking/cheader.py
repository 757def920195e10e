"""C header of an exported spiking network: deterministic text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nonideal.mcu.limits import padded
from nonideal.spiking.packing import KERNELS

if TYPE_CHECKING:
    from nonideal.spiking.export import Export

PER_LINE = 8  # numbers


def render(export: Export) -> str:
    """Text of the header."""
    network, sizes = export.network, export.network.sizes
    lines = [
        "/* A spiking network, made by nonideal.spiking.export; see nonideal_snn.h for the engine. */",
        "#ifndef NI_SNN_MODEL_H",
        "#define NI_SNN_MODEL_H",
        "",
        '#include "nonideal_snn.h"',
        "",
        f"#define NI_SNN_INPUTS {sizes[0]}",
        f"#define NI_SNN_OUTPUTS {sizes[-1]}",
        f"#define NI_SNN_NEURONS {sum(sizes[1:])}",
        f"#define NI_SNN_STEPS {network.steps}",
        f"#define NI_SNN_DRIVE {padded(sizes[1])}",
        f"#define NI_SNN_SUMS {padded(max(sizes[1:]))}",
        "",
    ]
    records = []
    for k, (layer, packed) in enumerate(zip(network.layers, export.packed, strict=True), 1):
        lines.append(
            f"/* Layer {k}: {layer.weight_format}, {layer.inputs} to {layer.outputs}, "
            f"scale {layer.scale!r}. */"
        )
        lines += _array("uint32_t", f"ni_snn_weights_{k}", packed.words)
        sums = "0"
        if layer.input_bits:
            sums = f"ni_snn_row_sums_{k}"
            lines += _array("int32_t", sums, layer.weights.sum(axis=1, dtype=np.int32))
        records.append(
            f"    {{{{ni_plain_{KERNELS[layer.weight_format]}, ni_snn_weights_{k}, {sums}, "
            f"{layer.inputs}, {layer.outputs}, {packed.stride}}}, {layer.threshold}, {layer.shift}}},"
        )
    count = len(network.layers)
    lines += [f"static const ni_snn_layer ni_snn_layers[{count}] = {{", *records, "};"]
    lines += [f"static const ni_snn_network ni_snn_model = {{ni_snn_layers, {count}, {network.steps}}};", ""]
    lines += ["/* Golden vectors: inputs, the spikes of all layers at every step, spikes of each output. */"]
    lines += [f"#define NI_SNN_GOLDEN {len(export.inputs)}"]
    lines += _array("uint8_t", "ni_snn_golden_inputs", export.inputs)
    trace = np.concatenate(export.record.spikes, axis=2)
    lines += _array("int8_t", "ni_snn_golden_trace", trace)
    lines += _array("int32_t", "ni_snn_golden_counts", export.record.counts)
    return "\n".join([*lines, "", "#endif", ""])


def _array(ctype: str, name: str, values: np.ndarray) -> list[str]:
    """Definition of a flat array."""
    flat = [str(value) for value in values.reshape(-1).tolist()]
    if ctype == "uint32_t":
        flat = [f"0x{int(value):08x}" for value in flat]
    per_line = PER_LINE if ctype.endswith("32_t") else 4 * PER_LINE
    rows = [", ".join(flat[start : start + per_line]) for start in range(0, len(flat), per_line)]
    return [f"static const {ctype} {name}[{len(flat)}] = {{", *(f"    {row}," for row in rows), "};"]
