# Networks on phase-change memory: training with weight noise, then chips programmed once and read for a year.

NETWORKS = config["networks"]
NETWORK_NAMES = ["float", "noise_aware", "ternary"]


def initial_of(wildcards):
    """Fine-tuning starts from the float network."""
    if wildcards.network == "float":
        return {}
    return {"initial": result("networks/float/network.pt")}


def recipe_of(wildcards):
    """Settings that one network's training depends on."""
    used = ["dataset", "architecture", "width", "pixels", "threads", "float"]
    return {key: NETWORKS[key] for key in used + (["noise"] if wildcards.network != "float" else [])}


rule train_network:
    input:
        unpack(initial_of),
        **images(NETWORKS["dataset"]),
        code=code("train_network"),
    output:
        network=result("networks/{network}/network.pt"),
        history=result("networks/{network}/history.parquet"),
    log:
        log_of("train_network/{network}"),
    benchmark:
        timing_of("train_network/{network}")
    wildcard_constraints:
        network="|".join(NETWORK_NAMES),
    threads: NETWORKS["threads"]
    resources:
        mem_mb=6000,
        runtime=600,
    params:
        seed=config["seed"],
        settings=recipe_of,
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("networks/{network}/progress"),
    message:
        "networks: training, {wildcards.network}"
    script:
        adapter("train_network")
