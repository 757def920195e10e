# Variable bit cells: regularised and chip-in-loop training, from the networks trained with multipliers.

FIGURES["figure_variability"] = {
    "variability": "regularised/variability.parquet",
    "qat": "regularised/qat.parquet",
}
TABLES["table_variability"] = "regularised/variability.parquet"


rule regularised_variability:
    input:
        **images(REGULARISED["dataset"]),
        networks=[result("regularised/qat/multiplier/networks.pt")],
        code=code("regularised_variability"),
    output:
        accuracy=result("regularised/variability/{method}/accuracy.parquet"),
    log:
        log_of("regularised_variability/{method}"),
    benchmark:
        timing_of("regularised_variability/{method}")
    wildcard_constraints:
        method="chip_in_loop|regularised",
    threads: REGULARISED["threads"]
    resources:
        mem_mb=4000,
        runtime=1200,
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS | {"variability": REGULARISED["variability"]},
        progress=result("regularised/variability/{method}/progress"),
    message:
        "regularised: variability, {wildcards.method}"
    script:
        adapter("regularised_variability")
