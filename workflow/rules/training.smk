# Fully connected networks: full precision, quantisation-aware training, post-training quantisation.

TRAINING = config["training"]

FIGURES |= {"figure_bits": {"summary": "training/accuracy_summary.parquet"}}
TABLES |= {"table_bits": "training/accuracy_summary.parquet"}
SCALES["training"] = f"{TRAINING['dataset']}, {TRAINING['seeds']} seeds, {TRAINING['epochs']} epochs"


rule train:
    input:
        **images(TRAINING["dataset"]),
        code=code("train"),
    output:
        networks=result("training/{format}/networks.pt"),
        history=result("training/{format}/history.parquet"),
        accuracy=result("training/{format}/accuracy.parquet"),
    log:
        log_of("train/{format}"),
    benchmark:
        timing_of("train/{format}")
    wildcard_constraints:
        format="float|" + "|".join(TRAINING["formats"]),
    threads: TRAINING["threads"]
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings={key: value for key, value in TRAINING.items() if key != "formats"},
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("training/{format}/progress"),
    message:
        "training: {wildcards.format}, every seed"
    script:
        adapter("train")


rule post_training:
    input:
        **images(TRAINING["dataset"]),
        networks=result("training/float/networks.pt"),
        code=code("post_training"),
    output:
        result("training/post_training/accuracy.parquet"),
    log:
        log_of("post_training"),
    benchmark:
        timing_of("post_training")
    threads: TRAINING["threads"]
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=TRAINING,
    message:
        "training: post-training quantisation of the float networks"
    script:
        adapter("post_training")


rule accuracy:
    input:
        accuracy=expand(result("training/{format}/accuracy.parquet"), format=["float", *TRAINING["formats"]]),
        post_training=rules.post_training.output,
        code=code("accuracy"),
    output:
        accuracy=result("training/accuracy.parquet"),
        summary=result("training/accuracy_summary.parquet"),
    log:
        log_of("accuracy"),
    benchmark:
        timing_of("accuracy")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "training: mean accuracy and its interval for every format and method"
    script:
        adapter("accuracy")


rule training:
    input:
        rules.accuracy.output,
        expand(result("training/{format}/history.parquet"), format=["float", *TRAINING["formats"]]),
