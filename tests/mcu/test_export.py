import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from elftools.elf.elffile import ELFFile
from mcu_networks import images, layer, network
from torch import nn

from nonideal import models
from nonideal.mcu import limits
from nonideal.mcu.build import write_engine
from nonideal.mcu.cheader import engine_macros
from nonideal.mcu.export import export, load
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork, quantise_images
from nonideal.mcu.packing import LAYOUTS, Packed, pack, unpack
from nonideal.models.fc import fc
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_packing_is_inverted_and_as_dense_as_promised(name, layout):
    for outputs, inputs in ((64, 320), (1, 1), (13, 37), (5, 8)):
        part = layer(name, outputs, inputs)
        packed = pack(part.weights, name, layout)
        assert np.array_equal(unpack(packed, name, layout, outputs, inputs), part.weights)
    ternary = 1.6 if layout == "plain" else 2
    bits = {"binary": 1, "ternary": ternary, "2bitsym": 2, "8bit": 8}.get(name, 4)
    full = pack(layer(name, 160, 320).weights, name, layout)  # divides evenly by words and by five
    assert full.words.nbytes * 8 == 160 * 320 * bits


# The examples in the headers of the C kernels.
EXAMPLES = [
    ("binary", (1, -1, 1), 0x5, 0x5),
    ("2bitsym", (-3, 1, 3), 0x13, 0x38),
    ("4bitsym", (-15, 1, 7), 0x30F, 0xB80),
    ("4bit", (-8, 1, -1), 0xF18, 0x790),
    ("8bit", (-128, 1, -1), 0xFF0180, 0x7F8100),
    ("fp130", (-128, 1, 2), 0x10F, 0x10F),
    ("nf4", (-127, 0, 10), 0x870, 0x870),
    ("ternary", (1, 0, -1, -1, -1), 200, 6),
]


@pytest.mark.parametrize(("name", "weights", "plain", "fast"), EXAMPLES)
def test_examples_of_the_kernels_headers(root, name, weights, plain, fast):
    row = np.array([weights], np.int16)
    assert pack(row, name, "plain").words.tolist() == [plain]
    assert pack(row.T, name, "fast").words.tolist() == [fast]
    for kernel, word in (("plain", plain), ("fast", fast)):
        text = (root / f"firmware/src/{kernel}_{name}.c").read_text()
        shown = (f"{word:#x}", f"byte {word}")
        assert any(part in text for part in shown)


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_is_exact(tmp_path, name, kernel):
    net = network(name, 30, 12, 10)
    made = export(net, images(30), kernel=kernel)
    paths = made.write(tmp_path)
    for path in (paths["npz"], paths["json"]):
        read = load(path)
        assert read.kernel == kernel and np.array_equal(read.images, made.images)
        for a, b in zip(read.network.layers, net.layers, strict=True):
            assert a.weight_format == b.weight_format and a.scale == b.scale
            assert np.array_equal(a.weights, b.weights)
        assert read.header() == made.header()
    text = paths["h"].read_text()
    for k, part in enumerate(net.layers, 1):
        words = np.array([int(v, 16) for v in numbers(text, f"ni_weights_{k}")], np.uint32)
        stride = int(re.search(rf"Layer {k}: .* stride (\d+)\.", text)[1])
        found = unpack(Packed(words, stride), name, kernel, part.outputs, part.inputs)
        assert np.array_equal(found, part.weights)
    assert numbers(text, "ni_golden_images") == [str(v) for v in made.images.ravel()]
    assert numbers(text, "ni_golden_accumulators_1") == [str(v) for v in made.accumulators[0].ravel()]
    assert numbers(text, "ni_golden_logits") == [str(v) for v in net.logits(made.images).ravel()]
    assert numbers(text, "ni_row_sums") == [str(v) for v in net.layers[0].weights.sum(axis=1)]


def numbers(text: str, name: str) -> list[str]:
    body = re.search(rf"{name}(?:\[\d+\])+ = \{{\n(.*?)\n\}};", text, re.DOTALL)[1]
    return re.findall(r"0x[0-9a-f]+|-?\d+", body)


def test_files_are_the_same_bytes_each_time(tmp_path):
    net = network("4bitsym", 30, 12, 10)
    for folder in ("a", "b"):
        export(net, images(30)).write(tmp_path / folder)
    for suffix in ("h", "npz", "json"):
        assert (tmp_path / f"a/model.{suffix}").read_bytes() == (tmp_path / f"b/model.{suffix}").read_bytes()
    assert max(map(len, (tmp_path / "a/model.h").read_text().splitlines())) <= 110


def test_two_lines_for_a_model_of_ones_own(tmp_path):
    model = models.build("fc", generator=torch_stream(0, "init"))
    inputs = torch.randn(9, 1, 16, 16, generator=torch_stream(0, "x"))
    export(model, inputs).write(tmp_path)
    document = json.loads((tmp_path / "model.json").read_text())
    assert np.array_equal(document["golden"]["images"], quantise_images(inputs)[:4])
    assert [part["format"] for part in document["layers"]] == ["4bitsym"] * 4
    for part, trained in zip(document["layers"], model.layers, strict=True):
        values = torch.tensor(part["weights"]) * torch.tensor(part["scale"], dtype=torch.float32)
        assert torch.equal(values, trained.effective_weight().detach())


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_files_that_contradict_themselves_are_refused(tmp_path, suffix):
    path = export(network("4bit", 30, 12, 10), images(30)).write(tmp_path)[suffix]
    if suffix == "json":
        document = json.loads(path.read_text())
        document["golden"]["accumulators"][1][0][0] += 1
        path.write_text(json.dumps(document))
        message = "contradict the weights"
    else:
        arrays = dict(np.load(path))
        arrays["layer_2_words"][0] ^= 1
        np.savez(path, **arrays)
        message = "layer_2_words contradicts"
    with pytest.raises(ValueError, match=message):
        load(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match="no export of this program"):
        load(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"version": 7, "layers": [], "golden": {"images": []}}')
    with pytest.raises(ValueError, match="export version 7, this program reads 1"):
        load(tmp_path / "b.json")
    with pytest.raises(ValueError, match="expected a file ending in"):
        load(tmp_path / "model.h")


def zeros(pixels: int) -> np.ndarray:
    return np.zeros((1, pixels), np.int8)


def test_what_does_not_fit_is_refused_by_name():
    def refuse(net, pixels, message, **settings):
        with pytest.raises(ValueError, match=message):
            export(net, zeros(pixels), **settings)

    refuse(
        network("4bit", 8, 1025, 2), 8, r"layer 1 \(4bit, 8 to 1025\): too wide, 1025 outputs.*at most 1024"
    )
    refuse(network("4bit", 256, 512, 2), 256, "layer 1 .*rows take 16384 words .*addresses 16382.*'plain'")
    refuse(network("8bit", 256, 64, 10), 256, "layer 1: weights up to here take 16640 bytes .*has 16384")
    refuse(
        network("4bit", 1600, 16, 10),
        1600,
        "layer 1: an image of 1600 pixels .*take .* has 2048, of which 192",
    )
    refuse(network("8bit", 100, 100, 100, 10), 100, "layer 2: weights up to here take 20400 bytes")
    refuse(
        network("binary", 64, 320, 8),
        64,
        "layer 1: an image of 64 pixels and layers up to 320 wide take .* fast kernel; .*use smaller",
    )
    export(network("4bitsym", 1400, 10), zeros(1400), kernel="plain")  # keeps no list of active inputs
    refuse(network("4bit", 20, 4), 20, "target 'z80' is not known; targets are ch32v003", target="z80")
    refuse(network("4bit", 20, 4), 20, "kernel 'quick' is not known", kernel="quick")
    refuse(network("4bit", 20, 4), 21, "takes images of 20 pixels; got . images of 21")
    export(network("8bit", 256, 64, 10), zeros(256), target=None)


def test_kernels_run_from_ram_as_long_as_there_is_room_beside_the_data():
    target = limits.TARGETS["ch32v003"]
    narrow, wide = network("binary", 64, 128, 8), network("binary", 64, 192, 8)
    assert limits.ram_of_code(narrow, "fast", target) == 740 and limits.ram_of_code(wide, "fast", target) == 0
    assert "NI_LAYERS_IN_FLASH" not in engine_macros(export(narrow, zeros(64)), target)
    assert engine_macros(export(wide, zeros(64)), target)["NI_LAYERS_IN_FLASH"] == 1
    kinds = IntegerNetwork(tuple(network(name, 8, 8).layers[0] for name in ("binary", "2bitsym", "4bit")))
    assert limits.ram_of_code(kinds, "fast", target) == 0  # three kernels take 1,792 bytes
    data = limits.ram_of_data(narrow, "fast") + limits.list_bytes(narrow, "fast", limits.MIN_ACTIVE)
    full = replace(target, ram=data + 740 + target.stack)
    assert limits.layers_in_ram(narrow, "fast", full)
    assert not limits.layers_in_ram(narrow, "fast", replace(full, ram=full.ram - 1))


def test_an_accumulator_that_could_overflow_is_refused(monkeypatch):
    part = IntegerLayer("8bit", np.full((1, 65535), -128, np.int16))
    export(IntegerNetwork((part,)), zeros(65535), kernel="plain", target=None)  # the largest there can be
    monkeypatch.setattr("nonideal.mcu.limits.MAX_INPUTS", 2**20)
    wide = IntegerLayer("8bit", np.full((1, 131072), -128, np.int16))
    with pytest.raises(ValueError, match=r"layer 1 .* could reach 2147483648, 32 bits hold 2147483647"):
        export(IntegerNetwork((wide,)), zeros(131072), kernel="plain", target=None)


def test_networks_of_other_layers_come_as_an_fc_with_their_weights():
    own = nn.Sequential(nn.Linear(12, 8, bias=False), nn.ReLU(), nn.Linear(8, 5, bias=False))
    with pytest.raises(ValueError, match=r"got Sequential; copy the weights .* IntegerNetwork\(\(Integer"):
        export(own, images(12))
    settings = {"input_pixels": 12, "widths": (8,), "classes": 5, "weight_format": "float"}
    model = models.build("fc", generator=torch_stream(1, "init"), **settings)
    x = torch.randn(300, 12, generator=torch_stream(1, "own images"))
    with torch.no_grad():
        for target, source in zip(model.layers, own[::2], strict=True):
            source.weight.normal_(generator=torch_stream(1, "own weights", *source.weight.shape))
            target.weight.copy_(source.weight)
        made = export(models.post_training_quantise(model, "8bit"), x)
        wanted = own(x).argmax(dim=1).numpy()
    assert (made.network.accumulators(quantise_images(x))[-1].argmax(axis=1) == wanted).mean() > 0.95


@pytest.mark.parametrize("suffixes", [("c",), ("h", "c"), "h", "json"])
def test_files_of_other_kinds_are_refused(tmp_path, suffixes):
    made = export(network("binary", 4, 2), images(4))
    with pytest.raises(ValueError, match="suffixes must be some of h, npz, json"):
        made.write(tmp_path, "m", suffixes=suffixes)
    assert not list(tmp_path.iterdir())


def test_two_networks_in_one_program_are_refused_and_cpp_links(root, tmp_path):
    """Guards are of the content, so a second network is an error and the same one twice is none."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    for name in ("4bitsym", "ternary"):
        model = fc(generator=torch_stream(1, "init"), widths=(4,), weight_format=name)
        export(model, images(256)).write(tmp_path, f"m{name}", suffixes=("h",))
    shown = re.search(r"```c\n#include .*?\n(.*?)```", (root / "README.md").read_text(), re.S)[1]
    main = (
        shown
        + """
int main() {
    for (int i = 0; i < NI_MODEL_INPUTS; i++) x[i] = ni_golden_images[0][i];
    classify();
    int wrong = 0;
    for (int i = 0; i < NI_MODEL_OUTPUTS; i++) wrong += y[i] != ni_golden_logits[0][i];
    return wrong;
}
"""
    )
    twice = '#include "m4bitsym.h"\n'
    for names, works in ((twice * 2, True), (twice + '#include "mternary.h"\n', False)):
        (tmp_path / "main.cpp").write_text(names + main)
        include = ["-I", root / "firmware/include", "-I", tmp_path]
        made = subprocess.run(
            ["g++", "-c", "main.cpp", *map(str, include)], cwd=tmp_path, capture_output=True, text=True
        )
        assert (made.returncode == 0) == works, made.stderr
    assert "one network is included already" in made.stderr
    (tmp_path / "main.cpp").write_text(twice + main)
    write_engine(tmp_path / "engine")  # what `nonideal export --engine` copies
    sources = sorted(map(str, (tmp_path / "engine/src").glob("*.c")))
    subprocess.run(["gcc", "-c", *sources, "-I", "engine/include"], cwd=tmp_path, check=True)
    objects = sorted(path.name for path in tmp_path.glob("*.o") if path.name != "main.o")
    subprocess.run(["g++", "main.cpp", *objects, *map(str, include)], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "a.out"], check=False).returncode == 0


def test_the_engine_needs_no_assembly_on_any_processor(tmp_path):
    """Of the C files alone every name is defined that one of them uses, on RISC-V as well."""
    write_engine(tmp_path)
    sources = sorted(map(str, (tmp_path / "src").glob("*.c")))
    options = ["-target", "riscv32-freestanding-none", "-O1", "-ffreestanding", "-I", "include"]
    compiler = [sys.executable, "-m", "ziglang", "cc", "-c"]
    subprocess.run([*compiler, *options, *sources], cwd=tmp_path, check=True)
    defined, used = set(), set()
    for path in tmp_path.glob("*.o"):
        with path.open("rb") as file:
            for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols():
                (used if symbol["st_shndx"] == "SHN_UNDEF" else defined).add(symbol.name)
    assert len(sources) > 10 and "ni_shift_norm" in defined
    assert used - defined <= {"", "memcpy", "memset"}


def test_the_engine_computes_with_32_bits_where_an_int_has_16(tmp_path):
    write_engine(tmp_path)
    sources = sorted(map(str, (tmp_path / "src").glob("*.c")))
    options = ["-target", "msp430-freestanding-none", "-std=c99", "-ffreestanding", "-I", "include"]
    warnings = ["-Wall", "-Wextra", "-Werror"]  # of shifts beyond an int, among others
    compiler = [sys.executable, "-m", "ziglang", "cc", "-c"]
    subprocess.run([*compiler, *options, *warnings, *sources], cwd=tmp_path, check=True)


@pytest.mark.parametrize("kernel", ["fast_4bit", "fast_fp130"])
def test_a_list_without_room_for_one_input_is_refused_by_the_compiler(root, tmp_path, kernel):
    """It would never be through with its inputs."""
    compiler = [sys.executable, "-m", "ziglang", "cc", "-c", "-o", tmp_path / "kernel.o"]
    command = [*compiler, root / f"firmware/src/{kernel}.c", "-I", root / "firmware/include"]
    assert not subprocess.run([*command, "-DNI_ACTIVE=1"], check=False).returncode
    made = subprocess.run([*command, "-DNI_ACTIVE=0"], capture_output=True, text=True, check=False)
    assert "no RAM is left for a list of active inputs" in made.stderr


def test_images_of_int8_are_as_the_engine_takes_them_and_other_integers_refused():
    net = network("4bitsym", 16, 4)
    five = np.full((1, 4, 4), 5, np.int8)
    for given in (five, torch.from_numpy(five)):
        assert (export(net, given).images == 5).all()
    for given in (five.astype(np.uint8), torch.from_numpy(five).long()):
        with pytest.raises(ValueError, match=r"images must be floating point, .* got (uint8|int64)"):
            export(net, given)


def test_the_room_that_an_inference_needs_is_said_and_counted():
    text = export(network("4bit", 38, 9, 33, 10), images(38)).header()
    found = {name: int(value) for name, value in re.findall(r"#define NI_MODEL_(\w+) (\d+)", text)}
    assert found == {"INPUTS": 38, "OUTPUTS": 10, "WIDEST": 33, "X": 40, "Y": 64}
    for name, words in (("4bit", 32), ("8bit", 64), ("2bitsym", 32), ("binary", 32), ("nf4", 1)):
        # Two sums of 16 bits a word: one sum for each of 64 outputs, two for those of eight bits.
        assert limits.sum_words(network(name, 30, 9, 64, 10)) == words


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("fp130", "nf4")])
def test_the_list_of_active_inputs_takes_the_ram_that_is_left(name):
    target, made = limits.TARGETS["ch32v003"], network(name, 256, 96, 96, 10)
    active = limits.active_inputs(made, "fast", target)
    code = limits.ram_of_code(made, "fast", target)
    free = target.ram - target.stack - code - limits.ram_of_data(made, "fast")
    assert limits.list_bytes(made, "fast", active) <= free
    assert active == limits.MAX_ACTIVE or limits.list_bytes(made, "fast", active + 1) > free
