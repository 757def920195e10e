# Variable bit cells: regularised and chip-in-loop training, from the networks trained with multipliers; the same
# with a phase-change memory device a bit, from those and from networks with fixed levels.

FIGURES["figure_variability"] = {
    "variability": "regularised/variability.parquet",
    "qat": "regularised/qat.parquet",
}
TABLES["table_variability"] = "regularised/variability.parquet"
TABLES["table_pcm_multipliers"] = "regularised/pcm.parquet"


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
        **accelerator(REGULARISED),
        mem_mb=images_mb(REGULARISED["dataset"], 4000),
        runtime=regularised_minutes(
            1200,
            "variability",
            len(REGULARISED["variability"]["bits"]) * len(REGULARISED["variability"]["sigmas"]),
        ),
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS | {"variability": REGULARISED["variability"]},
        progress=result("regularised/variability/{method}/progress"),
    message:
        "regularised: variability, {wildcards.method}"
    script:
        adapter("regularised_variability")


rule regularised_pcm:
    input:
        **images(REGULARISED["dataset"]),
        networks=[result("regularised/qat/{levels}/networks.pt")],
        code=code("regularised_pcm"),
    output:
        accuracy=result("regularised/pcm/{levels}/accuracy.parquet"),
    log:
        log_of("regularised_pcm/{levels}"),
    benchmark:
        timing_of("regularised_pcm/{levels}")
    wildcard_constraints:
        levels="fixed|multiplier",
    threads: REGULARISED["threads"]
    resources:
        **accelerator(REGULARISED),
        mem_mb=images_mb(REGULARISED["dataset"], 4000),
        runtime=regularised_minutes(1200, "pcm", VARIABILITY_METHODS * len(REGULARISED["pcm"]["bits"])),
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS | {"pcm": REGULARISED["pcm"]},
        progress=result("regularised/pcm/{levels}/progress"),
    message:
        "regularised: phase-change memory, {wildcards.levels} levels"
    script:
        adapter("regularised_pcm")


rule regularised_pcm_summary:
    input:
        accuracy=expand(result("regularised/pcm/{levels}/accuracy.parquet"), levels=["fixed", "multiplier"]),
        floats=rules.regularised_float.output.accuracy,
        code=code("regularised_pcm_summary"),
    output:
        **shown(pcm="table_pcm_multipliers"),
        pcm=result("regularised/pcm.parquet"),
    log:
        log_of("regularised_pcm_summary"),
    benchmark:
        timing_of("regularised_pcm_summary")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "regularised: phase-change memory, means and intervals"
    script:
        adapter("regularised_pcm_summary")
