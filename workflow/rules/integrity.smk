# What a reader can check: the packages that made the run, a hash of every file, and the check itself.


# Everything that is made; the manifest lists it.
rule results:
    input:
        rules.data.input,
        rules.figures.input,
        rules.crossbar.input,
        rules.training.input,
        rules.firmware.input,
        rules.cnn.input,
        rules.networks.input,
        rules.spiking.input,
        rules.regularised.input,
        rules.fpga.input,
        rules.page.output,
        rules.paper.output,
        rules.provenance.output,


rule sbom:
    input:
        # Without a lock (a copy of the workflow alone) the bill is that of the environment as it is.
        lock=[path for path in ["requirements.lock"] if os.path.exists(path)],
        code=code("sbom"),
    output:
        sbom=result("sbom.json"),
        licences=result("licences.csv"),
    log:
        log_of("sbom"),
    benchmark:
        timing_of("sbom")
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "integrity: software bill of materials"
    script:
        adapter("sbom")


rule manifest:
    input:
        rules.results.input,
        rules.sbom.output,
        code=code("manifest"),
    output:
        result("manifest.json"),
    log:
        log_of("manifest"),
    benchmark:
        timing_of("manifest")
    threads: 1
    resources:
        mem_mb=500,
        runtime=30,
    message:
        "integrity: hash of every file of the run"
    script:
        adapter("manifest")


# No inputs: it looks at what is there, and must not have an altered file made again first.
rule verify:
    log:
        log_of("verify"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        run=f"results/{RUN}",
    message:
        "integrity: check every file of the run"
    script:
        adapter("verify")
