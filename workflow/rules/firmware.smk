# Networks on an emulated CH32V003: export, build, verification against Python and host C, modelled cycles.
# A job fails if one logit of one image differs.

PROGRAMS = config["firmware"]["formats"]

TABLES |= {
    "table_formats": "firmware/kernels.parquet",
    "table_cycles": "firmware/cycles.parquet",
}


rule firmware_format:
    input:
        **images(TRAINING["dataset"]),
        networks=result("training/{format}/networks.pt"),
        engine=engine_sources(),
        code=code("firmware_format"),
    output:
        kernels=result("firmware/{format}/kernels.parquet"),
        cycles=result("firmware/{format}/cycles.parquet"),
        exported=multiext(result("firmware/{format}/fast/model"), ".h", ".npz", ".json"),
        program=multiext(result("firmware/{format}/fast/firmware"), ".elf", ".bin", ".hex", ".txt"),
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
        settings={key: value for key, value in TRAINING.items() if key != "formats"},
    message:
        "firmware: {wildcards.format}, both kernels, every test image"
    script:
        adapter("firmware_format")


rule firmware_tables:
    input:
        kernels=expand(result("firmware/{format}/kernels.parquet"), format=PROGRAMS),
        cycles=expand(result("firmware/{format}/cycles.parquet"), format=PROGRAMS),
        code=code("firmware_tables"),
    output:
        kernels=result("firmware/kernels.parquet"),
        cycles=result("firmware/cycles.parquet"),
    log:
        log_of("firmware_tables"),
    benchmark:
        timing_of("firmware_tables")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "firmware: costs of every format"
    script:
        adapter("firmware_tables")


rule firmware:
    input:
        rules.firmware_tables.output,
