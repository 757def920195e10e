# Crossbars of phase-change memory: Monte Carlo trials in shards, their summary, Eq. 8, crossovers.

SHARDS = config["crossbar"]["shards"]

FIGURES |= {
    "figure_4a": {"summary": "crossbar/summary.parquet", "fit": "crossbar/eq8_fit.parquet"},
    "figure_4b": {"summary": "crossbar/summary.parquet"},
    "figure_4c": {"summary": "crossbar/summary.parquet", "crossover": "crossbar/crossover.parquet"},
    "figure_ternary": {
        "summary": "crossbar/summary.parquet",
        "ternarisation": "crossbar/ternarisation_summary.parquet",
    },
}
TABLES |= {
    "table_crossbar": "crossbar/summary.parquet",
    "table_eq8": "crossbar/eq8_ratios.parquet",
    "table_eq8_fit": "crossbar/eq8_fit.parquet",
    "table_crossover": "crossbar/crossover.parquet",
    "table_options": "crossbar/options.parquet",
    "table_ternarisation": "crossbar/ternarisation_summary.parquet",
    "table_ternary": "crossbar/ternary.parquet",
}


rule crossbar_trials:
    input:
        code=code("crossbar_trials"),
    output:
        trials=result("crossbar/trials/part-{shard}.parquet"),
        ternarisation=result("crossbar/ternarisation/part-{shard}.parquet"),
    log:
        log_of("crossbar_trials/{shard}"),
    benchmark:
        timing_of("crossbar_trials/{shard}")
    wildcard_constraints:
        shard=r"\d{4}",
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        seed=config["seed"],
        trials=trials_of,
        settings={key: value for key, value in config["crossbar"].items() if key not in ("trials", "shards")},
    message:
        "crossbar: trials of shard {wildcards.shard}"
    script:
        adapter("crossbar_trials")


rule crossbar_summary:
    input:
        trials=shards("trials"),
        ternarisation=shards("ternarisation"),
        code=code("crossbar_summary"),
    output:
        **shown(
            summary="table_crossbar",
            ternarisation="table_ternarisation",
            ternary="table_ternary",
            eq8_fit="table_eq8_fit",
            eq8_ratios="table_eq8",
            crossover="table_crossover",
        ),
        summary=result("crossbar/summary.parquet"),
        ternarisation=result("crossbar/ternarisation_summary.parquet"),
        ternary=result("crossbar/ternary.parquet"),
        eq8_fit=result("crossbar/eq8_fit.parquet"),
        eq8_ratios=result("crossbar/eq8_ratios.parquet"),
        crossover=result("crossbar/crossover.parquet"),
    log:
        log_of("crossbar_summary"),
    benchmark:
        timing_of("crossbar_summary")
    threads: 1
    resources:
        mem_mb=trials_mb(),
        runtime=15,
    params:
        seed=config["seed"],
    message:
        "crossbar: means and spread of all trials, fit of Eq. 8, crossovers"
    script:
        adapter("crossbar_summary")


rule crossbar_options:
    input:
        code=code("crossbar_options"),
    output:
        **shown(options="table_options"),
        options=result("crossbar/options.parquet"),
    log:
        log_of("crossbar_options"),
    benchmark:
        timing_of("crossbar_options")
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        seed=config["seed"],
        trials=config["crossbar"]["trials"],
        rows=config["crossbar"]["rows"],
        settings=config["crossbar"]["figure_4a"],
    message:
        "crossbar: cost of the options the publication leaves open"
    script:
        adapter("crossbar_options")


rule crossbar:
    input:
        rules.crossbar_options.output,
        rules.crossbar_summary.output,
