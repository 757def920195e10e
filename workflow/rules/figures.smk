# Figures and tables for people: one notebook per figure, executed by papermill; it reads tables and draws.
#
# FIGURES and TABLES are the index of everything that is shown: name -> the tables it is made from. Each study
# adds its own in its rule file. Each name is a target of its own: `snakemake --cores all figure_4a`.


TABLES["compare_published"] = "compare_published.parquet"


for figure in FIGURES:

    rule:
        name:
            figure
        input:
            **tables_of(figure),
            notebook=f"notebooks/{figure}.ipynb",
            code=code("draw", f"notebooks/{figure}.ipynb"),
        output:
            svg=report(
                result(f"figures/{figure}.svg"),
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure, "form": "figure"},
            ),
            pdf=result(f"figures/{figure}.pdf"),
            png=result(f"figures/{figure}.png"),
            csv=result(f"figures/{figure}.csv"),
            notebook=result(f"figures/{figure}.ipynb"),
            html=report(
                result(f"figures/{figure}.html"),
                caption="../report/notebook.rst",
                category="Figures",
                labels={"figure": figure, "form": "executed notebook"},
            ),
        log:
            log_of(figure),
        benchmark:
            timing_of(figure)
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        message:
            "figure: {rule}"
        script:
            adapter("draw")


# A table is written for people by the job that makes it.
for table in TABLES:

    rule:
        name:
            table
        input:
            csv=result(f"tables/{table}.csv"),
            html=result(f"tables/{table}.html"),
        localrule: True


rule figures:
    input:
        [getattr(rules, figure).output for figure in FIGURES],
        [getattr(rules, table).input for table in TABLES],


# A name that is no target would be taken for a file, and the error would not say what there is.
rule misspelt:
    input:
        no_such_target,
    output:
        "{misspelt,[a-z][a-z0-9_]*}",
