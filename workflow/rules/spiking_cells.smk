# Stuck and variable cells under spiking weights: the study of regularised training, from the float networks of
# the study of precision.

CELLS = SPIKING["regularised"]
# What every job depends on; the sections of faults and variability are of their own jobs.
CELLS_COMMON = {key: CELLS[key] for key in ("seeds", "alpha", "qat")}
CELLS_NETWORK = {
    key: SPIKING[key] for key in ("dataset", "widths", "steps", "batch_size", "threads", "device")
}

FIGURES["figure_snn_faults"] = {
    "faults": "spiking/faults.parquet",
    "variability": "spiking/variability.parquet",
    "regularised": "spiking/regularised.parquet",
}
TABLES |= {
    "table_snn_faults": "spiking/faults.parquet",
    "table_snn_variability": "spiking/variability.parquet",
    "table_snn_claims": "spiking/claims.parquet",
}


rule spiking_multiplier:
    input:
        **images(SPIKING["dataset"]),
        networks=result("spiking/float/networks.pt"),
        code=code("spiking_multiplier"),
    output:
        networks=result("spiking/multiplier/networks.pt"),
        accuracy=result("spiking/multiplier/accuracy.parquet"),
    log:
        log_of("spiking_multiplier"),
    benchmark:
        timing_of("spiking_multiplier")
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=4000,
        runtime=60,
    params:
        seed=config["seed"],
        settings=CELLS_NETWORK | {"regularised": CELLS_COMMON},
        progress=result("spiking/multiplier/progress"),
    message:
        "spiking: learned multipliers, every width and seed"
    script:
        adapter("spiking_multiplier")


rule spiking_faults:
    input:
        **images(SPIKING["dataset"]),
        networks=rules.spiking_multiplier.output.networks,
        code=code("spiking_faults"),
    output:
        accuracy=result("spiking/faults/{bits}-{p_stuck1}/accuracy.parquet"),
        maps=result("spiking/faults/{bits}-{p_stuck1}/maps.parquet"),
    log:
        log_of("spiking_faults/{bits}-{p_stuck1}"),
    benchmark:
        timing_of("spiking_faults/{bits}-{p_stuck1}")
    wildcard_constraints:
        bits="[1-8]",
        p_stuck1=r"[\d.]+(e-\d+)?",
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=CELLS_NETWORK | {"regularised": CELLS_COMMON | {"faults": of_one_map(CELLS["faults"])}},
        progress=result("spiking/faults/{bits}-{p_stuck1}/progress"),
    message:
        "spiking: faults at {wildcards.bits} bits, {wildcards.p_stuck1} of them stuck at 1"
    script:
        adapter("spiking_faults")


rule spiking_variability:
    input:
        **images(SPIKING["dataset"]),
        networks=rules.spiking_multiplier.output.networks,
        code=code("spiking_variability"),
    output:
        accuracy=result("spiking/variability/{method}/accuracy.parquet"),
    log:
        log_of("spiking_variability/{method}"),
    benchmark:
        timing_of("spiking_variability/{method}")
    wildcard_constraints:
        method="chip_in_loop|regularised",
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=4000,
        runtime=120,
    params:
        seed=config["seed"],
        settings=CELLS_NETWORK | {"regularised": CELLS_COMMON | {"variability": CELLS["variability"]}},
        progress=result("spiking/variability/{method}/progress"),
    message:
        "spiking: variability, {wildcards.method}"
    script:
        adapter("spiking_variability")


rule spiking_cells:
    input:
        regularised=rules.spiking_multiplier.output.accuracy,
        faults=expand(
            result("spiking/faults/{bits}-{p_stuck1}/accuracy.parquet"),
            bits=CELLS["faults"]["bits"],
            p_stuck1=CELLS["faults"]["p_stuck1"],
        ),
        variability=expand(
            result("spiking/variability/{method}/accuracy.parquet"), method=["chip_in_loop", "regularised"]
        ),
        code=code("spiking_cells"),
    output:
        **shown(faults="table_snn_faults", variability="table_snn_variability", claims="table_snn_claims"),
        regularised=result("spiking/regularised.parquet"),
        faults=result("spiking/faults.parquet"),
        variability=result("spiking/variability.parquet"),
        claims=result("spiking/claims.parquet"),
    log:
        log_of("spiking_cells"),
    benchmark:
        timing_of("spiking_cells")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        tolerated_loss=CELLS["tolerated_loss"],
    message:
        "spiking: stuck and variable cells, means, intervals and claims"
    script:
        adapter("spiking_cells")
