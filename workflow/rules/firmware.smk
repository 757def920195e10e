# Networks on an emulated CH32V003: export, build, verification against Python and host C, modelled cycles.
# A job fails if one logit of one image differs.

PROGRAMS = config["firmware"]["formats"]
WIDTHS = config["firmware"]["widths"]
# Trained once more at widths that fit the flash: formats of programs here, and of the study of stuck bits.
OTHER_WIDTHS = [
    name
    for name in dict.fromkeys([*PROGRAMS, *config["flash"]["formats"]])
    if WIDTHS.get(name, TRAINING["widths"]) != TRAINING["widths"]
]
OTHER_PROGRAMS = [name for name in PROGRAMS if name in OTHER_WIDTHS]

TABLES |= {
    "table_formats": "firmware/formats.parquet",
    "table_kernels": "firmware/kernels.parquet",
    "table_cycles": "firmware/cycles.parquet",
}


rule train_widths:
    input:
        **images(TRAINING["dataset"]),
        code=code("train_widths"),
    output:
        networks=result("firmware/training/{format}/networks.pt"),
        accuracy=result("firmware/training/{format}/accuracy.parquet"),
    log:
        log_of("train_widths/{format}"),
    benchmark:
        timing_of("train_widths/{format}")
    wildcard_constraints:
        format="|".join(OTHER_WIDTHS) or "none",
    threads: TRAINING["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=settings_for,
        # Not an output: what a killed job resumes from.
        progress=result("firmware/training/{format}/progress"),
    message:
        "firmware: training {wildcards.format} at widths that fit the flash"
    script:
        adapter("train_widths")


rule firmware_format:
    input:
        **images(TRAINING["dataset"]),
        networks=trained_for,
        engine=engine_sources(),
        code=code("firmware_format"),
    output:
        kernels=result("firmware/{format}/kernels.parquet"),
        cycles=result("firmware/{format}/cycles.parquet"),
        exported=multiext(result("firmware/{format}/fast/model"), ".h", ".npz", ".json"),
        program=multiext(result("firmware/{format}/fast/firmware"), ".elf", ".bin", ".hex", ".txt"),
        board=multiext(result("firmware/{format}/board/firmware"), ".elf", ".bin", ".hex", ".txt"),
    log:
        log_of("firmware_format/{format}"),
    benchmark:
        timing_of("firmware_format/{format}")
    wildcard_constraints:
        format="|".join(PROGRAMS),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        seed=config["seed"],
        settings=settings_for,
    message:
        "firmware: {wildcards.format}, both kernels, every test image"
    script:
        adapter("firmware_format")


rule firmware_tables:
    input:
        kernels=expand(result("firmware/{format}/kernels.parquet"), format=PROGRAMS),
        cycles=expand(result("firmware/{format}/cycles.parquet"), format=PROGRAMS),
        accuracy=rules.accuracy.output.accuracy,
        others=expand(result("firmware/training/{format}/accuracy.parquet"), format=OTHER_PROGRAMS),
        code=code("firmware_tables"),
    output:
        **shown(kernels="table_kernels", cycles="table_cycles", formats="table_formats"),
        kernels=result("firmware/kernels.parquet"),
        cycles=result("firmware/cycles.parquet"),
        formats=result("firmware/formats.parquet"),
    log:
        log_of("firmware_tables"),
    benchmark:
        timing_of("firmware_tables")
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        others=OTHER_PROGRAMS,
    message:
        "firmware: accuracy and costs of every format"
    script:
        adapter("firmware_tables")


rule firmware:
    input:
        rules.firmware_tables.output,
