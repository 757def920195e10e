# Stuck bit cells: every mitigation at every rate, from the networks trained with multipliers.

FIGURES["figure_faults"] = {"faults": "regularised/faults.parquet", "qat": "regularised/qat.parquet"}
TABLES["table_faults"] = "regularised/faults.parquet"


rule regularised_faults:
    input:
        **images(REGULARISED["dataset"]),
        networks=[result("regularised/qat/multiplier/networks.pt")],
        code=code("regularised_faults"),
    output:
        accuracy=result("regularised/faults/{bits}-{p_stuck1}/accuracy.parquet"),
        maps=result("regularised/faults/{bits}-{p_stuck1}/maps.parquet"),
    log:
        log_of("regularised_faults/{bits}-{p_stuck1}"),
    benchmark:
        timing_of("regularised_faults/{bits}-{p_stuck1}")
    wildcard_constraints:
        bits="[1-8]",
        p_stuck1=r"[\d.]+(e-\d+)?",
    threads: REGULARISED["threads"]
    resources:
        **accelerator(REGULARISED),
        mem_mb=images_mb(REGULARISED["dataset"], 4000),
        # Without faults one penalty stands for all.
        runtime=regularised_minutes(
            2400, "faults", sum(FAULT_MODES if rate else 2 for rate in REGULARISED["faults"]["rates"])
        ),
    params:
        seed=config["seed"],
        settings=QAT_SETTINGS | {"faults": of_one_map(REGULARISED["faults"])},
        progress=result("regularised/faults/{bits}-{p_stuck1}/progress"),
    message:
        "regularised: faults at {wildcards.bits} bits, {wildcards.p_stuck1} of them stuck at 1"
    script:
        adapter("regularised_faults")
