# Regularised training: networks in full precision, and quantised by every method; what they learned; the claims.

REGULARISED = config["regularised"]
# Trainings of a network: faults.MODES, and variability.METHODS.
FAULT_MODES, VARIABILITY_METHODS = 5, 2
# What every training job depends on; other sections are of their own jobs.
TRAINED_BY = ("seeds", "train_images", "batch_size", "augmentation", "precision", "threads", "device")
QUANTISED_BY = ("layers", "alpha", "quantiser_weight_decay")
REGULARISED_COMMON = {key: REGULARISED[key] for key in ("dataset", "model", "width", "holdout", *TRAINED_BY)}
QAT_SETTINGS = REGULARISED_COMMON | {key: REGULARISED[key] for key in (*QUANTISED_BY, "qat")}
# It starts from the float network of the crossbars, and holds no images out.
HEADLINE_SETTINGS = {
    **{key: REGULARISED[key] for key in (*TRAINED_BY, *QUANTISED_BY, "headline")},
    **{section: besides_headline(section) for section in ("qat", "faults", "variability")},
    "networks": {key: NETWORKS[key] for key in ("dataset", "architecture", "width", "pixels")},
}
FIGURES |= {
    "figure_quantiser": {"curves": "regularised/curves.parquet", "levels": "regularised/levels.parquet"},
    "figure_level_sets": {"curves": "regularised/curves.parquet", "levels": "regularised/levels.parquet"},
    "figure_multipliers": {
        "multipliers": "regularised/multipliers.parquet",
        "bit_serial": "regularised/bit_serial.parquet",
    },
}
TABLES |= {
    "table_qat": "regularised/qat.parquet",
    "table_bit_serial": "regularised/bit_serial.parquet",
    "table_claims": "regularised/claims.parquet",
    "table_headline": "regularised/headline_summary.parquet",
}


rule regularised_float:
    input:
        **images(REGULARISED["dataset"]),
        code=code("regularised_float"),
    output:
        networks=result("regularised/float/networks.pt"),
        accuracy=result("regularised/float/accuracy.parquet"),
    log:
        log_of("regularised_float"),
    benchmark:
        timing_of("regularised_float")
    threads: REGULARISED["threads"]
    resources:
        **accelerator(REGULARISED),
        mem_mb=images_mb(REGULARISED["dataset"], 4000),
        runtime=regularised_minutes(600, "float", 1),
    params:
        seed=config["seed"],
        settings=REGULARISED_COMMON | {"float": REGULARISED["float"]},
        progress=result("regularised/float/progress"),
    message:
        "regularised: full precision, every seed"
    script:
        adapter("regularised_float")


rule regularised_qat:
    input:
        **images(REGULARISED["dataset"]),
        networks=[rules.regularised_float.output.networks],
        code=code("regularised_qat"),
    output:
        networks=result("regularised/qat/{method}/networks.pt"),
        accuracy=result("regularised/qat/{method}/accuracy.parquet"),
    log:
        log_of("regularised_qat/{method}"),
    benchmark:
        timing_of("regularised_qat/{method}")
    wildcard_constraints:
        method="|".join(REGULARISED["methods"]),
    threads: REGULARISED["threads"]
    resources:
        **accelerator(REGULARISED),
        mem_mb=images_mb(REGULARISED["dataset"], 4000),
        runtime=regularised_minutes(1200, "qat", len(REGULARISED["qat"]["bits"])),
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS,
        progress=result("regularised/qat/{method}/progress"),
    message:
        "regularised: {wildcards.method}, every width and seed"
    script:
        adapter("regularised_qat")


rule regularised_headline:
    input:
        **images(NETWORKS["dataset"]),
        network=result("networks/float/network.pt"),
        code=code("regularised_headline"),
    output:
        **shown(summary="table_headline"),
        networks=result("regularised/headline.parquet"),
        summary=result("regularised/headline_summary.parquet"),
    log:
        log_of("regularised_headline"),
    benchmark:
        timing_of("regularised_headline")
    threads: REGULARISED["threads"]
    resources:
        **accelerator(REGULARISED),
        mem_mb=images_mb(NETWORKS["dataset"], 4000),
        runtime=headline_minutes(1200),
    params:
        seed=config["seed"],
        settings=HEADLINE_SETTINGS,
        progress=result("regularised/headline/progress"),
    message:
        "regularised: the main statements on the crossbars' network"
    script:
        adapter("regularised_headline")


rule regularised_inspection:
    input:
        **images(REGULARISED["dataset"]),
        networks=[result("regularised/qat/multiplier/networks.pt")],
        code=code("regularised_inspection"),
    output:
        **shown(bit_serial="table_bit_serial"),
        curves=result("regularised/curves.parquet"),
        levels=result("regularised/levels.parquet"),
        multipliers=result("regularised/multipliers.parquet"),
        bit_serial=result("regularised/bit_serial.parquet"),
    log:
        log_of("regularised_inspection"),
    benchmark:
        timing_of("regularised_inspection")
    threads: REGULARISED["threads"]
    resources:
        mem_mb=images_mb(REGULARISED["dataset"], 3000),
        runtime=120,
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS,
    message:
        "regularised: levels, multipliers and bit-serial inference"
    script:
        adapter("regularised_inspection")


rule regularised_summary:
    input:
        qat=[
            rules.regularised_float.output.accuracy,
            *expand(result("regularised/qat/{method}/accuracy.parquet"), method=REGULARISED["methods"]),
        ],
        faults=expand(
            result("regularised/faults/{bits}-{p_stuck1}/accuracy.parquet"),
            bits=REGULARISED["faults"]["bits"],
            p_stuck1=REGULARISED["faults"]["p_stuck1"],
        ),
        variability=expand(
            result("regularised/variability/{method}/accuracy.parquet"),
            method=["chip_in_loop", "regularised"],
        ),
        code=code("regularised_summary"),
    output:
        **shown(
            qat="table_qat", faults="table_faults", variability="table_variability", claims="table_claims"
        ),
        qat=result("regularised/qat.parquet"),
        faults=result("regularised/faults.parquet"),
        variability=result("regularised/variability.parquet"),
        claims=result("regularised/claims.parquet"),
    log:
        log_of("regularised_summary"),
    benchmark:
        timing_of("regularised_summary")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        tolerated_loss=REGULARISED["tolerated_loss"],
    message:
        "regularised: means, intervals and claims"
    script:
        adapter("regularised_summary")


rule regularised:
    input:
        rules.regularised_summary.output,
        rules.regularised_headline.output,
        rules.regularised_inspection.output,
