"""Table of published values beside ours."""

from __future__ import annotations

from nonideal.schemas.columns import at_least, column, one_of, table

TRACKS = ("crossbar", "fpga", "microcontroller", "pcm_networks", "regularised", "spiking", "training")
KINDS = ("value", "range", "at_most", "at_least")
ANSWERED = ("inside", "undecided", "outside")
VERDICTS = (*ANSWERED, "not run", "not compared")

COMPARISON = table(
    "compare_published",
    ["track", "figure", "quantity"],
    {
        "track": column(
            "str",
            "study of the pipeline",
            one_of(TRACKS),
        ),
        "figure": column("str", "figure or table of the publication"),
        "quantity": column("str", "what was measured"),
        "unit": column("str", "unit of the values"),
        "kind": column("str", "value or range to meet, or bound to keep", one_of(KINDS)),
        "published": column("float64", "published value or bound, middle of a published range"),
        "tolerance": column("float64", "difference still called a reproduction; half a range", at_least(0)),
        "ours": column("float64", "our value", nullable=True),
        "interval": column("float64", "half width of our 95 % interval", nullable=True),
        "difference": column("float64", "ours - published", nullable=True),
        "verdict": column(
            "str",
            "verdict; not run: this run has no such row; not compared: no table of ours holds the quantity, "
            "as with methods of others",
            one_of(VERDICTS),
        ),
        "scale": column("str", "scale of our run; empty where there is no value of ours"),
        "published_scale": column("str", "scale of the published run"),
        "same_scale": column(
            "bool",
            "whether ours has the data set, network, widths and array that the published scale names; "
            "not where there is no value of ours",
        ),
        "by_construction": column(
            "bool", "whether any working implementation meets it, such as a number of levels; decides nothing"
        ),
        "table": column("str", "table of a run that holds the quantity; empty where none does"),
        "source": column("str", "where the published value stands"),
    },
)
