import capstone
import numpy as np
import pytest
from mcu_networks import images, network

from nonideal.mcu import cycles, elf, limits
from nonideal.mcu.build import FIRMWARE, BuildError, firmware
from nonideal.mcu.emulate import Emulator, FirmwareError
from nonideal.mcu.export import export
from nonideal.mcu.integer import IntegerNetwork
from nonideal.mcu.packing import LAYOUTS
from nonideal.mcu.study import board_program
from nonideal.mcu.verify import MismatchError, _spaced, adversarial_images, measure, verify
from nonideal.quantize.formats import FORMATS

MODE = capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_python_host_and_firmware_agree(engine, tmp_path, name, kernel):
    net = network(name, 120, 33, 32, 7)  # blocks with and without a rest, more inputs than fit one turn
    made = export(net, images(120), kernel=kernel)
    result = measure(made, images(120), tmp_path, engine=engine, seed=1, cycle_images=3)
    assert result.images == len(images(120)) + 2 * 33 + 3 * 50 + 256
    assert result.firmware.flash == (tmp_path / "firmware.bin").stat().st_size <= 16 * 1024
    assert f"{result.firmware.flash} of 16384 bytes" in result.firmware.report.read_text()
    assert result.firmware.ram + result.stack <= 2 * 1024
    target = limits.TARGETS["ch32v003"]
    active = limits.active_inputs(net, kernel, target)
    expected = limits.ram_of_code(net, kernel, target) + limits.ram_of_data(net, kernel)
    assert result.firmware.ram <= expected + limits.list_bytes(net, kernel, active) + 2  # whole words
    emulator = Emulator(result.firmware.elf)
    assert result.firmware.ram == emulator.symbols["ni_bss_end"][0] - 0x2000_0000
    assert result.stack <= result.firmware.stack
    row = result.row(made)
    assert row["format"] == name and row["cycles"] > row["instructions"] > 0
    assert row["weight_bytes"] == sum(packed.words.nbytes for packed in made.packed)
    assert [row[f"{part}_bytes"] for part in ("flash", "ram", "stack")] == [
        result.firmware.flash, result.firmware.ram, result.stack
    ]  # fmt: skip
    assert row["cycles"] == cycles.count(emulator, images(120)[:3]).total_cycles
    assert result.classes(made).cycles.sum() == pytest.approx(row["cycles"])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A network of three formats, and its program."""
    parts = [network("4bitsym", 40, 16).layers[0], network("8bit", 16, 12).layers[0]]
    net = IntegerNetwork((*parts, network("4bit", 12, 5).layers[0]))
    made = export(net, images(40))
    return made, firmware(made, tmp_path_factory.mktemp("mixed"))


def test_formats_mix(engine, mixed):
    made, built = mixed
    verify(made, images(40), engine=engine, emulator=Emulator(built.elf))


# Published networks of 12 kbyte.
LARGE = {"binary": (256, 176, 160, 160, 10), "2bitsym": (256, 112, 96, 96, 10)}


@pytest.mark.parametrize("name", LARGE)
def test_kernels_run_from_flash_where_ram_has_no_room_for_them(engine, tmp_path, name):
    made = export(network(name, *LARGE[name]), images(256))
    built = firmware(made, tmp_path)
    sizes = elf.check(built.elf, flash=16 * 1024, ram=2048, stack=192)
    assert not sizes.get(".ramcode")
    verify(made, images(256)[:6], engine=engine, emulator=Emulator(built.elf))


def test_the_program_for_a_board_has_the_plain_kernel_where_the_fast_one_does_not_fit(tmp_path):
    for name, sizes, kernel in (("binary", LARGE["binary"], "plain"), ("4bit", (40, 16, 5), "fast")):
        net = network(name, *sizes)
        exports = {layout: export(net, images(sizes[0]), kernel=layout) for layout in LAYOUTS}
        built = board_program(exports, tmp_path / name)
        assert built.flash <= 16 * 1024
        assert f"ni_{kernel}_{name}" in (tmp_path / name / "model.h").read_text()


def test_formats_whose_kernels_do_not_fit_ram_together_run_from_flash(engine, tmp_path):
    kinds = [network(name, 8, 8).layers[0] for name in ("binary", "2bitsym", "4bit")]
    made = export(IntegerNetwork(tuple(kinds)), images(8))
    verify(made, images(8)[:6], engine=engine, emulator=Emulator(firmware(made, tmp_path).elf))


def changed_firmware(folder, name, old, new):
    """Copy of the C sources with one change."""
    for source in FIRMWARE.rglob("*.*"):
        target = folder / source.relative_to(FIRMWARE)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        if source.name == name:
            assert old in text
            text = text.replace(old, new)
        target.write_text(text)
    return folder


def test_a_broken_kernel_makes_the_verification_fail(engine, tmp_path):
    sources = changed_firmware(tmp_path / "firmware", "rows.S", "slli part, part, 4", "slli part, part, 3")
    made = export(network("4bitsym", 40, 32, 5), images(40))
    built = firmware(made, tmp_path / "out", sources=sources)
    with pytest.raises(MismatchError, match=r"firmware, fast kernel, logits: \d+ of \d+ images differ"):
        verify(made, images(40), engine=engine, emulator=Emulator(built.elf))


def test_a_class_that_is_not_the_first_maximum_is_found(engine, tmp_path):
    sources = changed_firmware(tmp_path / "firmware", "network.c", "y[o] > y[best]", "y[o] >= y[best]")
    made = export(network("4bit", 8, 4), images(8))
    emulator = Emulator(firmware(made, tmp_path / "out", sources=sources).elf)
    with pytest.raises(MismatchError, match=r"firmware, fast kernel, classes: .* expected 0"):
        verify(made, np.zeros((1, 8), np.int8), engine=engine, emulator=emulator)


@pytest.mark.parametrize("formats", [("fp130", "4bitsym"), ("nf4", "4bitsym"), ("fp130", "binary")])
def test_lists_and_tables_of_several_kernels_fit_beside_each_other(engine, tmp_path, formats):
    net = IntegerNetwork((network(formats[0], 36, 16).layers[0], network(formats[1], 16, 5).layers[0]))
    made = export(net, images(36))
    built = firmware(made, tmp_path)
    assert built.ram > 2048 - 192 - 40  # the lists take what is left
    verify(made, images(36), engine=engine, emulator=Emulator(built.elf))


INFERENCE = "ni_class = infer();"

# A program to be counted by hand: load immediate, a loop of ten, a load from flash, a store, a long nop.
BY_HAND = "; ".join(
    (
        ".option push",
        "c.li a0, 10",
        "1: c.addi a0, -1",
        "c.bnez a0, 1b",
        "lw a1, 0(zero)",
        "sw a0, -4(sp)",
        ".option norvc",
        "nop",
        ".option pop",
    )
)


def test_cycles_of_a_program_counted_by_hand(tmp_path):
    call = f"""if (!ni_class) __asm__ volatile(".globl ni_hand; ni_hand: {BY_HAND}" ::: "a0", "a1");"""
    sources = changed_firmware(tmp_path / "firmware", "main.c", INFERENCE, f"{call} else {INFERENCE}")
    made = export(network("4bit", 8, 4), images(8))
    emulator = Emulator(firmware(made, tmp_path, sources=sources).elf)
    emulator.symbols["ni_ready"] = emulator.symbols["ni_hand"]
    emulator.symbols["ni_done"] = emulator.symbols["ni_hand"][0] + 18, 0
    count = cycles.count(emulator, images(8)[:2])
    assert count.instructions == {
        "arithmetic": 12, "load": 1, "store": 1, "branch": 1, "branch_taken": 9, "jump": 0
    }  # fmt: skip
    assert count.cycles == {
        "arithmetic": 1 + 10 + 2, "load": 2 + 1 + 1, "store": 3, "branch": 1, "branch_taken": 36, "jump": 0
    }  # fmt: skip
    assert count.total_cycles == 57 and count.total_instructions == 24


def test_unaligned_access_is_refused(tmp_path):
    call = "ni_infer(&ni_model, (int8_t *)ni_image, ni_logits)"
    shifted = call.replace("ni_logits", "(int32_t *)((char *)ni_logits + 2)")
    sources = changed_firmware(tmp_path / "firmware", "main.c", call, shifted)
    made = export(network("4bit", 8, 4), images(8), kernel="plain")
    emulator = Emulator(firmware(made, tmp_path, sources=sources).elf)
    emulator.infer(images(8)[0])  # which the emulator does not mind
    with pytest.raises(FirmwareError, match="unaligned access to 0x2000"):
        cycles.count(emulator, images(8))


def test_a_program_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("nonideal.mcu.emulate.INSTRUCTIONS_LIMIT", 10_000)
    endless = f"""if (!ni_class) __asm__ volatile("1: j 1b"); {INFERENCE}"""
    sources = changed_firmware(tmp_path / "firmware", "main.c", INFERENCE, endless)
    made = export(network("4bit", 8, 4), images(8))
    with pytest.raises(FirmwareError, match="no result after 10000 instructions"):
        Emulator(firmware(made, tmp_path, sources=sources).elf).infer(images(8)[0])


def test_hex_and_bin_hold_the_same_bytes(mixed):
    _, built = mixed
    memory = bytearray()
    lines = built.hex.read_text().splitlines()
    for line in lines:
        record = bytes.fromhex(line[1:])
        assert sum(record) % 256 == 0 and len(record) == record[0] + 5
        assert record[1:3] == len(memory).to_bytes(2, "big") or record[3] == 1
        memory += record[4:-1]
    assert lines[-1] == ":00000001FF" and bytes(memory) == built.bin.read_bytes()
    text = built.report.read_text()
    assert f"{built.flash} of 16384 bytes" in text and f"{built.ram} of 2048 bytes" in text


def test_the_board_build_fits_and_is_no_program_for_the_emulator(tmp_path):
    made = export(network("4bitsym", 256, 64, 64, 64, 10), images(256))
    built = firmware(made, tmp_path, board=True)
    program = built.bin.read_bytes()
    assert b" DIFFERENT" in program and len(program) <= 16 * 1024
    assert made.images[0].tobytes() in program and made.images[1].tobytes() not in program
    with pytest.raises(FirmwareError, match="no symbol 'ni_ready'"):
        Emulator(built.elf)


def test_the_linker_refuses_what_does_not_fit(tmp_path):
    net = network("4bitsym", 256, 84, 84, 10)  # 14.9 KB of weights, but the code comes on top
    made = export(net, images(256))
    with pytest.raises(BuildError, match="will not fit in region 'FLASH'"):
        firmware(made, tmp_path)
    assert not (tmp_path / "firmware.elf").exists()


# Encodings from the RISC-V manual: c.nop, mul x10,x11,x12, add x10,x16,x11, c.mv x10,x17, an illegal word,
# amoadd.w, lr.w, flw, fadd.s, c.flw.
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("01003385c502", "not in RV32EC: no multiplier"),
        ("01003305b800", "register above x15"),
        ("01004685", "register above x15"),
        ("0100ffff", "no instruction of RV32EC at 0x102"),
        ("01002f25b600", "amoadd.w.* at 0x102 is not in RV32EC"),
        ("01002fa50510", "lr.w.* at 0x102 is not in RV32EC"),
        ("010007250500", "flw.* at 0x102 is not in RV32EC"),
        ("010053f5c500", "fadd.s.* at 0x102 is not in RV32EC"),
        ("01000061", "c.flw.* at 0x102 is not in RV32EC"),
    ],
)
def test_instructions_the_target_lacks_are_refused(code, message):
    with pytest.raises(elf.ElfError, match=message):
        elf.check_code("a.elf", bytes.fromhex(code), 0x100)
    elf.check_code("a.elf", bytes.fromhex("01000f00f00f"), 0x100)  # c.nop, fence


def test_programs_for_other_machines_are_refused(mixed, tmp_path):
    _, built = mixed
    program = bytearray(built.elf.read_bytes())
    limits = {"flash": 16384, "ram": 2048, "stack": 192}
    elf.check(built.elf, **limits)
    with pytest.raises(elf.ElfError, match=f"takes {built.flash} bytes of flash, the target has 1000"):
        elf.check(built.elf, **(limits | {"flash": 1000}))
    with pytest.raises(elf.ElfError, match=f"takes {built.ram} bytes of RAM and 192 of stack"):
        elf.check(built.elf, **(limits | {"ram": 1000}))
    at = program.index(b"rv32e")
    for position, value, message in ((0x24, 1, "lack RVE"), (at + 4, ord("i"), "attribute is rv32i")):
        changed = bytearray(program)
        changed[position] = value
        (tmp_path / "a.elf").write_bytes(changed)
        with pytest.raises(elf.ElfError, match=message):
            elf.check(tmp_path / "a.elf", **limits)


def test_the_stack_is_watched(mixed, monkeypatch):
    emulator = Emulator(mixed[1].elf)
    emulator.infer(images(40)[0])
    used = emulator.stack_used()
    assert 0 < used <= 192
    emulator.uc.mem_write(0x2000_0000 + 2048 - used - 4, b"\0")
    assert emulator.stack_used() == used + 4
    emulator.uc.mem_write(0x2000_0000 + 2048 - 193, b"\0")
    with pytest.raises(FirmwareError, match=r"the stack took 19[3-6] bytes, 192 are reserved"):
        emulator.stack_used()
    lowest = emulator._symbol("ni_bss_end")
    emulator.uc.mem_write(lowest, bytes(0x2000_0000 + 2048 - lowest))
    # As where the variables reach up to the reserve.
    monkeypatch.setattr(emulator, "_symbol", {"ni_bss_end": lowest, "ni_stack_reserve": 2048}.get)
    with pytest.raises(FirmwareError, match=r"the stack took at least .* bytes"):
        emulator.stack_used()
    emulator.uc.mem_write(0x2000_0000 + 2048, b"\0")
    with pytest.raises(FirmwareError, match="wrote beyond the 2048 bytes of RAM"):
        emulator.stack_used()


def test_images_that_do_not_fit_are_refused(mixed):
    with pytest.raises(FirmwareError, match="image of 41 int8, room for 40"):
        Emulator(mixed[1].elf).infer(np.zeros(41, np.int8))


def test_adversarial_images_reach_the_bounds():
    net = network("4bitsym", 40, 16, 5)
    reached = np.abs(net.accumulators(adversarial_images(net, seed=0))[0]).max()
    assert reached == net.layers[0].bound(lowest=-128, highest=127)


def test_adversarial_images_drive_every_output_to_both_of_its_ends():
    net = network("4bit", 40, 16, 5)
    found = net.accumulators(adversarial_images(net, seed=0))[0]
    products = np.multiply.outer([-128, 127], net.layers[0].weights.astype(int))  # of an input at its ends
    assert found.max(axis=0).tolist() == products.max(axis=0).sum(axis=1).tolist()
    assert found.min(axis=0).tolist() == products.min(axis=0).sum(axis=1).tolist()


@pytest.mark.parametrize(("count", "limit"), [(1000, 7), (1000, 999), (10, 10), (5, 8), (0, 3), (12, None)])
def test_images_for_the_emulator_are_spread_over_all(count, limit):
    chosen = _spaced(count, limit)
    assert len(chosen) == min(count, count if limit is None else limit)
    edges = [*chosen, count]  # the first is the first; every gap is as wide as another, or wider by one
    assert edges[0] == 0
    assert len(chosen) == 0 or np.ptp(np.diff(edges)) <= 1


# Encodings of every load, store, branch and jump of RV32EC, aliases among them, and of some others.
ENCODED = {
    "load": "03850500 03c50500 03950500 03d50500 03250000 c841 2245",
    "store": "2380a500 2390a500 2320a000 c8c1 2ac4",
    "branch": (
        "6306b502 6314b502 6342b502 6350b502 636eb500 637cb500 63480500 63560500 6354a000 6342a000 "
        "63040500 63140500 11c1 09e1"
    ),
    "jump": "6f00e001 ef00a001 e7000500 67000500 67800000 29a0 2120 8280 0285 0295",
    "arithmetic": (
        "0100 0545 0505 2e85 2e95 0605 37150000 17150000 13051000 13850500 3305b040 13c5f5ff 13b51500 "
        "3335b000 3315b500 33b5c500"
    ),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_classes_of_instructions(kind):
    code = bytes.fromhex(ENCODED[kind])
    found = list(capstone.Cs(capstone.CS_ARCH_RISCV, MODE).disasm(code, 0))
    assert sum(instruction.size for instruction in found) == len(code)
    assert {cycles.class_of(instruction.mnemonic) for instruction in found} == {kind}
    elf.check_code("a.elf", code, 0)


def test_cost_of_instructions():
    kinds = cycles.CLASSES
    assert [cycles.cost(kind, 2, in_flash=False) for kind in kinds] == [1, 2, 2, 1, 3, 3]
    assert [cycles.cost(kind, 4, in_flash=False) for kind in kinds] == [1, 2, 2, 1, 3, 3]
    assert [cycles.cost(kind, 2, in_flash=True) for kind in kinds] == [1, 2, 2, 1, 4, 4]
    assert [cycles.cost(kind, 4, in_flash=True) for kind in kinds] == [2, 3, 3, 2, 4, 4]
