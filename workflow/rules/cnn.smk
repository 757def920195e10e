# Convolutional networks: trained at several widths, run on the emulated CH32V003, weighed against the others.
# A job fails if Python, C and firmware differ in one logit.

CNN = config["cnn"]
# The rest of the recipe is that of the fully connected networks.
CNN_RECIPE = {
    key: TRAINING[key]
    for key in (
        "optimiser schedule step_epochs milestones weight_decay label_smoothing augment_fine degrees translate "
        "scale_range shear elastic freeze_scale device"
    ).split()
} | {key: value for key, value in CNN.items() if key not in ("channels", "emulated_images")}
CNN_FIRMWARE_KEYS = ("dataset", "first_format", "emulated_images")

FIGURES |= {"figure_cnn_tradeoff": {"tradeoff": "cnn/tradeoff.parquet"}}
TABLES |= {"table_cnn": "cnn/tradeoff.parquet"}


rule train_cnn:
    input:
        **images(CNN["dataset"]),
        code=code("train_cnn"),
    output:
        networks=result("cnn/{channels}/networks.pt"),
        history=result("cnn/{channels}/history.parquet"),
        accuracy=result("cnn/{channels}/accuracy.parquet"),
    log:
        log_of("train_cnn/{channels}"),
    benchmark:
        timing_of("train_cnn/{channels}")
    wildcard_constraints:
        channels=r"\d+",
    threads: CNN["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=CNN_RECIPE,
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("cnn/{channels}/progress"),
    message:
        "cnn: {wildcards.channels} channels, every seed"
    script:
        adapter("train_cnn")


rule firmware_cnn:
    input:
        **images(CNN["dataset"]),
        networks=result("cnn/{channels}/networks.pt"),
        engine=engine_sources(),
        code=code("firmware_cnn"),
    output:
        kernels=result("cnn/{channels}/kernels.parquet"),
        cycles=result("cnn/{channels}/cycles.parquet"),
        exported=multiext(result("cnn/{channels}/fast/model"), ".h", ".npz", ".json"),
        program=multiext(result("cnn/{channels}/fast/firmware"), ".elf", ".bin", ".hex", ".txt"),
    log:
        log_of("firmware_cnn/{channels}"),
    benchmark:
        timing_of("firmware_cnn/{channels}")
    wildcard_constraints:
        channels=r"\d+",
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        seed=config["seed"],
        settings={key: CNN[key] for key in CNN_FIRMWARE_KEYS},
    message:
        "cnn: firmware of {wildcards.channels} channels, both kernels"
    script:
        adapter("firmware_cnn")


rule cnn_tradeoff:
    input:
        published="config/published.csv",
        accuracy=expand(result("cnn/{channels}/accuracy.parquet"), channels=CNN["channels"]),
        kernels=expand(result("cnn/{channels}/kernels.parquet"), channels=CNN["channels"]),
        cycles=expand(result("cnn/{channels}/cycles.parquet"), channels=CNN["channels"]),
        formats=rules.firmware_tables.output.formats,
        programs=rules.firmware_tables.output.kernels,
        code=code("cnn_tradeoff"),
    output:
        **shown(tradeoff="table_cnn"),
        tradeoff=result("cnn/tradeoff.parquet"),
        accuracy=result("cnn/accuracy.parquet"),
        kernels=result("cnn/kernels.parquet"),
        cycles=result("cnn/cycles.parquet"),
    log:
        log_of("cnn_tradeoff"),
    benchmark:
        timing_of("cnn_tradeoff")
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    message:
        "cnn: accuracy, size and time of every network"
    script:
        adapter("cnn_tradeoff")


rule cnn:
    input:
        rules.cnn_tradeoff.output,
        expand(result("cnn/{channels}/history.parquet"), channels=CNN["channels"]),
