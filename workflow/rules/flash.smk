# Stuck bits in the flash of the microcontroller: networks that were trained for them, and networks that were not.
# A job fails if C, given the damaged words, differs from the Python integers in one logit.

FLASH = config["flash"]

FIGURES["figure_flash_faults"] = {"faults": "flash/faults.parquet"}
TABLES["table_flash_faults"] = "flash/faults.parquet"


rule flash_faults:
    input:
        **images(TRAINING["dataset"]),
        networks=trained_for,
        engine=engine_sources(),
        code=code("flash_faults"),
    output:
        accuracy=result("flash/{format}-{kernel}/accuracy.parquet"),
        maps=result("flash/{format}-{kernel}/maps.parquet"),
    log:
        log_of("flash_faults/{format}-{kernel}"),
    benchmark:
        timing_of("flash_faults/{format}-{kernel}")
    wildcard_constraints:
        format="|".join(FLASH["formats"]),
        kernel="|".join(FLASH["kernels"]),
    threads: TRAINING["threads"]
    resources:
        **accelerator(TRAINING),
        mem_mb=3000,
        runtime=120,
    params:
        seed=config["seed"],
        settings=settings_for,
        flash={key: value for key, value in FLASH.items() if key not in ("formats", "kernels")},
        progress=result("flash/{format}-{kernel}/progress"),
    message:
        "flash: stuck bits, {wildcards.format} for the {wildcards.kernel} kernel"
    script:
        adapter("flash_faults")


rule flash_summary:
    input:
        accuracy=expand(
            result("flash/{format}-{kernel}/accuracy.parquet"),
            format=FLASH["formats"],
            kernel=FLASH["kernels"],
        ),
        code=code("flash_summary"),
    output:
        **shown(faults="table_flash_faults"),
        faults=result("flash/faults.parquet"),
    log:
        log_of("flash_summary"),
    benchmark:
        timing_of("flash_summary")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "flash: means and intervals"
    script:
        adapter("flash_summary")
