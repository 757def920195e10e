# Figures and tables for people: one notebook per figure, executed by papermill; it reads tables and draws.
#
# FIGURES and TABLES are the index of everything that is shown: name -> the tables it is made from. Each
# name is a target of its own: `snakemake --cores all figure_4a`.

FIGURES = {
    "figure_4a": {"summary": "crossbar/summary.parquet", "fit": "crossbar/eq8_fit.parquet"},
    "figure_4b": {"summary": "crossbar/summary.parquet"},
    "figure_4c": {"summary": "crossbar/summary.parquet", "crossover": "crossbar/crossover.parquet"},
    "figure_ternary": {
        "summary": "crossbar/summary.parquet",
        "ternarisation": "crossbar/ternarisation_summary.parquet",
    },
    "figure_bits": {"summary": "training/accuracy_summary.parquet"},
}
TABLES = {
    "table_crossbar": "crossbar/summary.parquet",
    "table_eq8": "crossbar/eq8_ratios.parquet",
    "table_eq8_fit": "crossbar/eq8_fit.parquet",
    "table_crossover": "crossbar/crossover.parquet",
    "table_options": "crossbar/options.parquet",
    "table_ternarisation": "crossbar/ternarisation_summary.parquet",
    "table_bits": "training/accuracy_summary.parquet",
    "compare_published": "compare_published.parquet",
}


def figure_files(figure):
    """Everything a reader may want of one figure."""
    return [result(f"figures/{figure}.{kind}") for kind in ("svg", "pdf", "png", "csv", "html", "ipynb")]


def table_files(table):
    """A table as text and as a page."""
    return [result(f"tables/{table}.{kind}") for kind in ("csv", "html")]


def tables_of(wildcards):
    """Tables a figure's notebook reads, by the name of its parameter."""
    return {name: result(path) for name, path in FIGURES[wildcards.figure].items()}


def code_of_notebook(wildcards):
    """Library files behind a notebook and its adapter."""
    return code("draw", f"notebooks/{wildcards.figure}.ipynb")


def table_of(wildcards):
    """Table behind a table target."""
    return result(TABLES[wildcards.table])


rule draw:
    input:
        unpack(tables_of),
        notebook="notebooks/{figure}.ipynb",
        code=code_of_notebook,
    output:
        svg=report(
            result("figures/{figure}.svg"),
            caption="../report/{figure}.rst",
            category="Figures",
            labels={"figure": "{figure}", "form": "figure"},
        ),
        pdf=result("figures/{figure}.pdf"),
        png=result("figures/{figure}.png"),
        csv=result("figures/{figure}.csv"),
        notebook=result("figures/{figure}.ipynb"),
        html=report(
            result("figures/{figure}.html"),
            caption="../report/notebook.rst",
            category="Figures",
            labels={"figure": "{figure}", "form": "executed notebook"},
        ),
    log:
        log_of("draw/{figure}"),
    benchmark:
        timing_of("draw/{figure}")
    wildcard_constraints:
        figure="|".join(FIGURES),
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    message:
        "figure: {wildcards.figure}"
    script:
        adapter("draw")


rule show_table:
    input:
        table=table_of,
        code=code("show_table"),
    output:
        csv=result("tables/{table}.csv"),
        html=report(
            result("tables/{table}.html"),
            caption="../report/{table}.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        log_of("show_table/{table}"),
    benchmark:
        timing_of("show_table/{table}")
    wildcard_constraints:
        table="|".join(TABLES),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "table: {wildcards.table}"
    script:
        adapter("show_table")


for figure in FIGURES:

    rule:
        name:
            figure
        input:
            figure_files(figure),


for table in TABLES:

    rule:
        name:
            table
        input:
            table_files(table),


rule figures:
    input:
        [figure_files(figure) for figure in FIGURES],
        [table_files(table) for table in TABLES],
