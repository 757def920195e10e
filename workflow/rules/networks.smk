# Networks on phase-change memory: training with weight noise, then chips programmed once and read for a year.

NETWORKS = config["networks"]
OTHERS = {other["name"]: other for other in NETWORKS["others"]}
NETWORK_NAMES = list(ON_CHIPS)
CHIPS = NETWORKS["deployment"]
# Keys that every network of this section depends on.
DESCRIBED_BY = ("dataset", "architecture", "width", "pixels", "threads", "device")
FLOAT_RECIPE = {key: NETWORKS[key] for key in (*DESCRIBED_BY, "float")}
# Each teacher's own section of the configuration.
TEACHERS = {teacher["name"]: teacher_section(FLOAT_RECIPE, teacher) for teacher in NETWORKS["teachers"]}
# What the networks depend on that are teachers as well, by their folders.
OWN = {
    network_folder(name): FLOAT_RECIPE if name == "float" else recipe_of({"other": name})
    for name in NETWORKS["distillation"]["networks"]
}
# Of each network trained in full precision, in the order of `in_full_precision`.
IN_FULL_PRECISION = [
    FLOAT_RECIPE,
    *(recipe_of({"other": other}) for other in OTHERS),
    *TEACHERS.values(),
]
# The references have no converters, and the study of options chooses its own.
CONVERTERS = ("dac_bits", "adc_bits", "converter_quantile")

FIGURES |= {
    "figure_5a": {
        "summary": "networks/summary.parquet",
        "references": "networks/references.parquet",
    },
    "figure_5c": {
        "summary": "networks/summary.parquet",
        "references": "networks/references.parquet",
    },
    "figure_noise_training": {
        "summary": "networks/summary.parquet",
        "references": "networks/references.parquet",
        "history": "networks/history.parquet",
    },
    "figure_ternary_networks": {
        "summary": "networks/summary.parquet",
        "references": "networks/references.parquet",
    },
}
TABLES |= {
    "table_networks": "networks/summary.parquet",
    "table_networks_references": "networks/references.parquet",
    "table_networks_training": "networks/history.parquet",
    "table_networks_architectures": "networks/architectures.parquet",
    "table_networks_differences": "networks/differences.parquet",
    "table_networks_crossover": "networks/crossover.parquet",
    "table_pcm_ablation": "networks/options.parquet",
}


rule train_network:
    input:
        unpack(networks_before),
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
    threads: lambda wildcards: threads_of(FLOAT_RECIPE) if wildcards.network == "float" else NETWORKS["threads"]
    resources:
        **accelerator(NETWORKS),
        mem_mb=4000,
        runtime=network_minutes,
    params:
        seed=config["seed"],
        network="{network}",
        settings=recipe_of,
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("networks/{network}/progress"),
    message:
        "networks: training, {wildcards.network}"
    script:
        adapter("train_network")


use rule train_network as train_other with:
    output:
        network=result("networks/others/{other}/network.pt"),
        history=result("networks/others/{other}/history.parquet"),
    log:
        log_of("train_other/{other}"),
    benchmark:
        timing_of("train_other/{other}")
    wildcard_constraints:
        other="[a-z][a-z0-9_]*",
    threads: lambda wildcards: threads_of(recipe_of(wildcards))
    params:
        seed=config["seed"],
        network=lambda wildcards: kind_of(OTHERS[wildcards.other]),
        settings=recipe_of,
        progress=result("networks/others/{other}/progress"),
    message:
        "networks: training, {wildcards.other}"


use rule train_network as train_teacher with:
    input:
        **images(NETWORKS["dataset"]),
        code=code("train_network"),
    output:
        network=result("networks/teachers/{teacher}/network.pt"),
        history=result("networks/teachers/{teacher}/history.parquet"),
    log:
        log_of("train_teacher/{teacher}"),
    benchmark:
        timing_of("train_teacher/{teacher}")
    wildcard_constraints:
        teacher="[a-z][a-z0-9_]*",
    threads: lambda wildcards: threads_of(TEACHERS[wildcards.teacher])
    params:
        seed=config["seed"],
        network="teacher",
        settings=recipe_of,
        progress=result("networks/teachers/{teacher}/progress"),
    message:
        "networks: training, teacher {wildcards.teacher}"


rule teacher_lessons:
    input:
        **images(NETWORKS["dataset"]),
        networks=[
            *expand(result("networks/teachers/{teacher}/network.pt"), teacher=TEACHERS),
            *expand(result("networks/{own}/network.pt"), own=OWN),
        ],
        code=code("teacher_lessons"),
    output:
        result("networks/teachers/lessons.pt"),
    log:
        log_of("teacher_lessons"),
    benchmark:
        timing_of("teacher_lessons")
    threads: max(map(threads_of, [*TEACHERS.values(), *OWN.values()]), default=1)
    resources:
        **accelerator(NETWORKS),
        mem_mb=4000,
        runtime=600,
    params:
        seed=config["seed"],
        views=NETWORKS["distillation"]["views"],
        settings=[*TEACHERS.values(), *OWN.values()],
    message:
        "networks: outputs of the teachers for the training images"
    script:
        adapter("teacher_lessons")


rule network_chips:
    input:
        **images(NETWORKS["dataset"]),
        network=result("networks/{network}/network.pt"),
        code=code("network_chips"),
    output:
        result("networks/chips/{network}/part-{shard}.parquet"),
    log:
        log_of("network_chips/{network}/{shard}"),
    benchmark:
        timing_of("network_chips/{network}/{shard}")
    wildcard_constraints:
        network="|".join(NETWORK_NAMES),
        shard=r"\d{4}",
    threads: NETWORKS["threads"]
    resources:
        **accelerator(NETWORKS),
        mem_mb=4000,
        runtime=600,
    params:
        seed=config["seed"],
        chips=chips_of,
        settings=chip_settings(("chips", "shards", "ablation_chips")),
    message:
        "networks: {wildcards.network}, chips of shard {wildcards.shard}"
    script:
        adapter("network_chips")


rule network_references:
    input:
        **images(NETWORKS["dataset"]),
        networks=expand(result("networks/{network}/network.pt"), network=NETWORK_NAMES),
        histories=expand(result("networks/{network}/history.parquet"), network=NETWORK_NAMES),
        code=code("network_references"),
    output:
        **shown(references="table_networks_references", history="table_networks_training"),
        references=result("networks/references.parquet"),
        history=result("networks/history.parquet"),
    log:
        log_of("network_references"),
    benchmark:
        timing_of("network_references")
    threads: NETWORKS["threads"]
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        seed=config["seed"],
        networks=NETWORK_NAMES,
        settings=chip_settings(("chips", "shards", "ablation_chips", "device", *CONVERTERS)),
    message:
        "networks: accuracy without hardware"
    script:
        adapter("network_references")


rule network_summary:
    input:
        chips=expand(
            result("networks/chips/{network}/part-{shard}.parquet"),
            network=NETWORK_NAMES,
            shard=[f"{shard:04d}" for shard in range(CHIPS["shards"])],
        ),
        references=rules.network_references.output.references,
        code=code("network_summary"),
    output:
        **shown(
            summary="table_networks",
            differences="table_networks_differences",
            crossover="table_networks_crossover",
        ),
        summary=result("networks/summary.parquet"),
        differences=result("networks/differences.parquet"),
        crossover=result("networks/crossover.parquet"),
    log:
        log_of("network_summary"),
    benchmark:
        timing_of("network_summary")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        seed=config["seed"],
    message:
        "networks: means, paired differences and crossovers"
    script:
        adapter("network_summary")


rule network_architectures:
    input:
        **images(NETWORKS["dataset"]),
        histories=in_full_precision("history.parquet"),
        networks=in_full_precision("network.pt"),
        code=code("network_architectures"),
    output:
        **shown(architectures="table_networks_architectures"),
        architectures=result("networks/architectures.parquet"),
    log:
        log_of("network_architectures"),
    benchmark:
        timing_of("network_architectures")
    threads: max(map(threads_of, IN_FULL_PRECISION))
    resources:
        mem_mb=4000,
        runtime=5,
    params:
        names=["float", *OTHERS, *TEACHERS],
        settings=IN_FULL_PRECISION,
    message:
        "networks: accuracies in full precision"
    script:
        adapter("network_architectures")


rule network_options:
    input:
        **images(NETWORKS["dataset"]),
        network=result("networks/noise_aware/network.pt"),
        code=code("network_options"),
    output:
        **shown(options="table_pcm_ablation"),
        options=result("networks/options.parquet"),
    log:
        log_of("network_options"),
    benchmark:
        timing_of("network_options")
    threads: NETWORKS["threads"]
    resources:
        **accelerator(NETWORKS),
        mem_mb=4000,
        runtime=600,
    params:
        seed=config["seed"],
        settings=chip_settings(("chips", "shards", *CONVERTERS)),
    message:
        "networks: cost of the options the literature leaves open"
    script:
        adapter("network_options")


rule networks:
    input:
        rules.network_references.output,
        rules.network_summary.output,
        rules.network_architectures.output,
        rules.network_options.output,
