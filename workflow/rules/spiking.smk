# Spiking networks: accuracy against precision, export to C, recordings of event cameras.
import re

from nonideal.spiking.recordings import SYNTHETIC

SPIKING = config["spiking"]
EVENTS = SPIKING["events"]
# What all jobs of the dense network depend on; each phase of training is of its own jobs.
DENSE = {
    key: SPIKING[key] for key in ("dataset", "widths", "steps", "seeds", "batch_size", "threads", "device")
}
SPIKING_FORMATS = "|".join(map(re.escape, SPIKING["formats"]))
EVENT_FORMATS = "|".join(map(re.escape, ["float", *EVENTS["formats"]]))

FIGURES |= {"figure_snn_precision": {"summary": "spiking/precision_summary.parquet"}}
TABLES |= {
    "table_snn_precision": "spiking/precision_summary.parquet",
    "table_snn_verified": "spiking/verified.parquet",
    "table_snn_events": "spiking/events_summary.parquet",
}


rule spiking_float:
    input:
        **images(SPIKING["dataset"]),
        code=code("spiking_float"),
    output:
        networks=result("spiking/float/networks.pt"),
        history=result("spiking/float/history.parquet"),
        precision=result("spiking/float/precision.parquet"),
    log:
        log_of("spiking_float"),
    benchmark:
        timing_of("spiking_float")
    # The longest chain ends in synthesis, one job on one core: begun early, it leaves no core idle at the end.
    priority: 1
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=DENSE | {"float": SPIKING["float"]},
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a killed job resumes from.
        progress=result("spiking/float/progress"),
    message:
        "spiking: full precision, every seed"
    script:
        adapter("spiking_float")


rule spiking_format:
    input:
        **images(SPIKING["dataset"]),
        networks=rules.spiking_float.output.networks,
        code=code("spiking_format"),
    output:
        networks=result("spiking/{format}/networks.pt"),
        history=result("spiking/{format}/history.parquet"),
        precision=result("spiking/{format}/precision.parquet"),
    log:
        log_of("spiking_format/{format}"),
    benchmark:
        timing_of("spiking_format/{format}")
    wildcard_constraints:
        format=SPIKING_FORMATS,
    priority: 1
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=4000,
        runtime=240,
    params:
        seed=config["seed"],
        settings=DENSE | {"qat": SPIKING["qat"]},
        progress=result("spiking/{format}/progress"),
    message:
        "spiking: {wildcards.format} after training and in training, every seed"
    script:
        adapter("spiking_format")


rule spiking_verify:
    input:
        **images(SPIKING["dataset"]),
        networks=expand(result("spiking/{format}/networks.pt"), format=SPIKING["formats"]),
        engine=engine_sources(),
        code=code("spiking_verify"),
    output:
        **shown(verified="table_snn_verified"),
        verified=result("spiking/verified.parquet"),
        exported=expand(
            result("spiking/{format}/c/model{suffix}"),
            format=SPIKING["formats"],
            suffix=[".h", ".npz", ".json"],
        ),
    log:
        log_of("spiking_verify"),
    benchmark:
        timing_of("spiking_verify")
    priority: 1
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        seed=config["seed"],
        settings=DENSE,
        formats=SPIKING["formats"],
    message:
        "spiking: every format in C, every spike of every test image"
    script:
        adapter("spiking_verify")


rule spiking_precision:
    input:
        precision=expand(result("spiking/{format}/precision.parquet"), format=["float", *SPIKING["formats"]]),
        code=code("spiking_precision"),
    output:
        **shown(summary="table_snn_precision"),
        precision=result("spiking/precision.parquet"),
        summary=result("spiking/precision_summary.parquet"),
    log:
        log_of("spiking_precision"),
    benchmark:
        timing_of("spiking_precision")
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    message:
        "spiking: accuracy, gaps and costs of every format"
    script:
        adapter("spiking_precision")


rule spiking_recordings:
    input:
        **(images("digits") if EVENTS["source"] == SYNTHETIC else {}),
        code=code("spiking_recordings"),
    output:
        frames=result("spiking/events/frames.npz"),
    log:
        log_of("spiking_recordings"),
    benchmark:
        timing_of("spiking_recordings")
    threads: 1
    resources:
        mem_mb=events_mb(3, 1000),
        runtime=60,
    params:
        seed=config["seed"],
        settings={key: EVENTS[key] for key in ("source", "recordings", "split", "steps", "size")},
        files=event_files,
    message:
        "spiking: recordings as frames"
    script:
        adapter("spiking_recordings")


rule spiking_events_format:
    input:
        frames=rules.spiking_recordings.output.frames,
        code=code("spiking_events_format"),
    output:
        events=result("spiking/events/{format}.parquet"),
    log:
        log_of("spiking_events_format/{format}"),
    benchmark:
        timing_of("spiking_events_format/{format}")
    wildcard_constraints:
        format=EVENT_FORMATS,
    threads: SPIKING["threads"]
    resources:
        **accelerator(SPIKING),
        mem_mb=events_mb(16, 5000),
        runtime=480,
    params:
        seed=config["seed"],
        threads=SPIKING["threads"],
        device=SPIKING["device"],
        settings={key: value for key, value in EVENTS.items() if key != "formats"},
        progress=result("spiking/events/progress/{format}"),
    message:
        "spiking: events, {wildcards.format}, every fold"
    script:
        adapter("spiking_events_format")


rule spiking_events:
    input:
        events=expand(result("spiking/events/{format}.parquet"), format=["float", *EVENTS["formats"]]),
        code=code("spiking_events"),
    output:
        **shown(summary="table_snn_events"),
        events=result("spiking/events.parquet"),
        summary=result("spiking/events_summary.parquet"),
    log:
        log_of("spiking_events"),
    benchmark:
        timing_of("spiking_events")
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    message:
        "spiking: accuracy on recordings and its interval over folds"
    script:
        adapter("spiking_events")


rule spiking:
    input:
        rules.spiking_precision.output,
        rules.spiking_verify.output,
        rules.spiking_events.output,
        # Of spiking_cells.smk.
        expand(result("spiking/{table}.parquet"), table=["regularised", "faults", "variability", "claims"]),
        expand(result("spiking/{format}/history.parquet"), format=["float", *SPIKING["formats"]]),
