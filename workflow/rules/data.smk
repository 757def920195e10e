# Data sets: verified and converted once into a compact array file with a manifest, shared by all runs.
#
# What decides whether a data set is converted again is what its files are (names and sizes), not where they
# lie: the root and the permission to download are read by the script and are no parameters of the rule.
# Jobs that use a data set depend on its manifest, which holds the hash of the arrays.


rule dataset:
    input:
        code=code("dataset"),
    output:
        arrays=dataset("{dataset}"),
        manifest=dataset("{dataset}", "manifest.json"),
    log:
        "resources/logs/dataset/{dataset}.log",
    benchmark:
        "resources/benchmarks/dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(CONVERTIBLE),
    threads: 1
    resources:
        mem_mb=lambda wildcards: images_mb(wildcards.dataset, 4000),
        runtime=lambda wildcards: 1440 if wildcards.dataset == "imagenet64" else 30,
    params:
        files=files_of,
    message:
        "data: verify and convert {wildcards.dataset}"
    script:
        adapter("dataset")


rule data:
    input:
        [dataset(name, "manifest.json") for name in config["data"]["datasets"]],
