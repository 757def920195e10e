# Data sets: verified and converted once into a compact array file with a manifest, shared by all runs.


rule dataset:
    input:
        sources=source_files,
        code=code("dataset"),
    output:
        arrays=dataset("{dataset}"),
        manifest=dataset("{dataset}", "manifest.json"),
    log:
        "resources/logs/dataset/{dataset}.log",
    benchmark:
        "resources/benchmarks/dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(name for name in data.NAMES if name != "imagenet"),
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        root=root_of,
        download=config["data"]["download"],
    message:
        "data: verify and convert {wildcards.dataset}"
    script:
        adapter("dataset")
