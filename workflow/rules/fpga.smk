# Layers of the exported spiking networks as RTL: simulated against the integers, synthesised, placed and
# routed for an iCE40 HX8K. A job fails if one spike differs.

FPGA = config["fpga"]
TABLES |= {"table_fpga": "fpga/designs.parquet"}


rule fpga_tools:
    input:
        code=code("fpga_tools"),
    output:
        "resources/fpga/tools.json",
    log:
        log_of("fpga_tools"),
    benchmark:
        timing_of("fpga_tools")
    priority: 1
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "fpga: synthesis tools (the first time this takes a minute)"
    script:
        adapter("fpga_tools")


rule fpga_format:
    input:
        exported=result("spiking/{format}/c/model.npz"),
        tools=rules.fpga_tools.output[0],
        code=code("fpga_format"),
    output:
        designs=result("fpga/{format}/designs.parquet"),
        files=directory(result("fpga/{format}/designs")),
    log:
        log_of("fpga_format/{format}"),
    benchmark:
        timing_of("fpga_format/{format}")
    wildcard_constraints:
        format="|".join(FPGA["formats"]),
    priority: 1
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        seed=config["seed"],
        settings={key: value for key, value in FPGA.items() if key != "formats"},
        dataset=config["spiking"]["dataset"],
    message:
        "fpga: {wildcards.format}, simulation and synthesis"
    script:
        adapter("fpga_format")


rule fpga_table:
    input:
        designs=expand(result("fpga/{format}/designs.parquet"), format=FPGA["formats"]),
        code=code("fpga_table"),
    output:
        **shown(designs="table_fpga"),
        designs=result("fpga/designs.parquet"),
    log:
        log_of("fpga_table"),
    benchmark:
        timing_of("fpga_table")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "fpga: costs of every format"
    script:
        adapter("fpga_table")


rule fpga:
    input:
        rules.fpga_table.output,
