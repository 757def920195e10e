# Fully connected networks: full precision, quantisation-aware training, post-training quantisation.

TRAINING = config["training"]
# What the networks of all formats depend on; which formats there are is not part of it.
NETWORK_SETTINGS = {key: value for key, value in TRAINING.items() if key not in ("formats", "clipping")}
NEURONS_SHOWN = 16  # of the first layer, in figure_first_layer

FIGURES |= {
    "figure_bits": {"summary": "training/accuracy_summary.parquet"},
    "figure_ptq_qat": {"summary": "training/accuracy_summary.parquet"},
    "figure_entropy": {"summary": "training/entropy_summary.parquet"},
    "figure_first_layer": {"layer": "training/first_layer.parquet"},
}
TABLES |= {"table_bits": "training/accuracy_summary.parquet"}


rule train:
    input:
        **images(TRAINING["dataset"]),
        code=code("train"),
    output:
        networks=result("training/{format}/networks.pt"),
        history=result("training/{format}/history.parquet"),
        accuracy=result("training/{format}/accuracy.parquet"),
        usage=result("training/{format}/code_usage.parquet"),
    log:
        log_of("train/{format}"),
    benchmark:
        timing_of("train/{format}")
    wildcard_constraints:
        format="|".join(TRAINING["formats"]),
    threads: TRAINING["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=format_settings,
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("training/{format}/progress"),
    message:
        "training: {wildcards.format}, every seed"
    script:
        adapter("train")


use rule train as train_float with:
    output:
        networks=result("training/float/networks.pt"),
        history=result("training/float/history.parquet"),
        accuracy=result("training/float/accuracy.parquet"),
    log:
        log_of("train_float"),
    benchmark:
        timing_of("train_float")
    params:
        seed=config["seed"],
        settings={key: value for key, value in NETWORK_SETTINGS.items() if key != "per_channel"},
        progress=result("training/float/progress"),
    message:
        "training: full precision, every seed"


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
        settings={key: TRAINING[key] for key in ("dataset", "formats", "per_channel")},
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
        **shown(summary="table_bits"),
        accuracy=result("training/accuracy.parquet"),
        summary=result("training/accuracy_summary.parquet"),
    log:
        log_of("accuracy"),
    benchmark:
        timing_of("accuracy")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "training: mean accuracy and its interval for every format and method"
    script:
        adapter("accuracy")


rule weights:
    input:
        networks=expand(result("training/{format}/networks.pt"), format=TRAINING["formats"]),
        usage=expand(result("training/{format}/code_usage.parquet"), format=TRAINING["formats"]),
        code=code("weights"),
    output:
        entropy=result("training/code_entropy.parquet"),
        summary=result("training/entropy_summary.parquet"),
        first_layer=result("training/first_layer.parquet"),
    log:
        log_of("weights"),
    benchmark:
        timing_of("weights")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings={key: TRAINING[key] for key in ("dataset", "formats", "clipping", "per_channel")},
        neurons=NEURONS_SHOWN,
    message:
        "training: entropy of the codes, first layers"
    script:
        adapter("weights")


rule training:
    input:
        rules.accuracy.output,
        rules.weights.output,
        expand(result("training/{format}/history.parquet"), format=["float", *TRAINING["formats"]]),
