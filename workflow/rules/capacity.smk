# What a weight's bits are worth: training loss against total bits, and the choice of the weight scale.

CAPACITY, SCAN = config["capacity"], config["quantscale"]

FIGURES |= {
    "figure_capacity": {"networks": "capacity/networks.parquet", "fit": "capacity/fit.parquet"},
    "figure_quantscale": {"summary": "quantscale/summary.parquet"},
}
TABLES |= {
    "table_capacity_fit": "capacity/fit.parquet",
    "table_equal_loss": "capacity/equal_loss.parquet",
    "table_quantscale": "quantscale/summary.parquet",
}


rule capacity:
    input:
        **images(TRAINING["dataset"]),
        code=code("capacity"),
    output:
        **shown(fit="table_capacity_fit", equal_loss="table_equal_loss"),
        networks=result("capacity/networks.parquet"),
        fit=result("capacity/fit.parquet"),
        equal_loss=result("capacity/equal_loss.parquet"),
    log:
        log_of("capacity"),
    benchmark:
        timing_of("capacity")
    threads: TRAINING["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        # Its networks have as many hidden layers as those of section training, with widths of its own.
        settings=study_settings(CAPACITY)
        | {"clipping": clippings(CAPACITY["formats"]), "widths": [None] * len(TRAINING["widths"])},
        capacity=CAPACITY,
        # Not an output: what a killed job resumes from.
        progress=result("capacity/progress"),
    message:
        "capacity: every format and width"
    script:
        adapter("capacity")


rule quantscale:
    input:
        **images(TRAINING["dataset"]),
        code=code("quantscale"),
    output:
        **shown(summary="table_quantscale"),
        networks=result("quantscale/networks.parquet"),
        summary=result("quantscale/summary.parquet"),
    log:
        log_of("quantscale"),
    benchmark:
        timing_of("quantscale")
    threads: TRAINING["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=study_settings(SCAN),
        scan=SCAN,
        progress=result("quantscale/progress"),
    message:
        "quantscale: every scale and clipping"
    script:
        adapter("quantscale")
