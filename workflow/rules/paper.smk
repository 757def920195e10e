# The end of the line: comparison with the publications, provenance of the run, the page, the typeset paper.


rule compare_published_values:
    input:
        published="config/published.csv",
        tables=[result(path) for path in published_tables()],
        trials=shards("trials"),
        code=code("compare_published_values"),
    output:
        **shown(compared="compare_published"),
        compared=result("compare_published.parquet"),
    log:
        log_of("compare_published"),
    benchmark:
        timing_of("compare_published")
    threads: 1
    resources:
        mem_mb=trials_mb(),
        runtime=10,
    params:
        tables=published_tables(),
        scale=scales.describe(config),
    message:
        "paper: comparison with every published value"
    script:
        adapter("compare_published_values")


rule provenance:
    input:
        tables=tables_behind(),
        code=code("run_provenance", *library()),
    output:
        report(
            result("provenance.json"),
            caption="../report/provenance.rst",
            category="Provenance",
            labels={"table": "provenance"},
        ),
    log:
        log_of("provenance"),
    benchmark:
        timing_of("provenance")
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "provenance of the run"
    script:
        adapter("run_provenance")


rule page:
    input:
        template="workflow/report/page.html",
        captions=[f"workflow/report/{name}.rst" for name in (*FIGURES, *TABLES, "workflow")],
        figures=[result(f"figures/{figure}.svg") for figure in FIGURES],
        compared=rules.compare_published_values.output.compared,
        provenance=rules.provenance.output[0],
        code=code("page"),
    output:
        result("index.html"),
    log:
        log_of("page"),
    benchmark:
        timing_of("page")
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        figures={figure: tables_of(figure) for figure in FIGURES},
        tables={table: result(source) for table, source in TABLES.items()},
        command=command(),
    message:
        "page: every figure, table and claim of the run"
    script:
        adapter("page")


rule paper:
    input:
        source="paper/main.typ",
        parts=["paper/template.typ", "paper/references.bib"],
        figures=[result(f"figures/{figure}.svg") for figure in FIGURES],
        tables=[result(f"tables/{table}.csv") for table in TABLES],
        provenance=rules.provenance.output[0],
        code=code("paper"),
    output:
        report(
            result("paper.pdf"), caption="../report/paper.rst", category="Paper", labels={"table": "paper"}
        ),
    log:
        log_of("paper"),
    benchmark:
        timing_of("paper")
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        config={key: value for key, value in config.items() if key != "data"},
        command=command(),
    message:
        "paper: typesetting"
    script:
        adapter("paper")
