"""The paper's source: no result is typed, no semicolon is lost, and every source it cites is listed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = (ROOT / "paper" / "main.typ").read_text(encoding="utf-8")
# Names, and sizes that define a method; results come from tables.
ALLOWED = {
    "CH32V003", "iCE40", "HX8K", "LUT4",  # parts, and the cell a synthesis counts
    "16",  # by 16 pixels
    "3",  # by 3 filters
    "95",  # % intervals
    "8", "2",  # equations
    "hls4ml",  # software
}  # fmt: skip
STATEMENT = re.compile(r"#(let|show|import|if|for)\b")
NAME = re.compile(r"#[A-Za-z_][\w.]*")
METHOD = re.compile(r"(?<=\))\.[A-Za-z_]\w*(?=\()")


def printed(source: str) -> tuple[str, list[int]]:
    """A typst source without what holds no prose, and where in it stands what is printed as it is.

    Code, equations, strings, labels and comments are left out.
    """
    source = re.sub(r"//[^\n]*", "", source)
    source = re.sub(r'"(?:[^"\\]|\\.)*"', "", source)
    source = re.sub(r"\$[^$]*\$|`[^`]*`", "", source)
    source = re.sub(r"@[\w:]+|<[\w:]+>", "", source)
    kept, modes, position = [], ["text"], 0
    while position < len(source):
        letter, mode = source[position], modes[-1]
        if mode == "text" and (found := STATEMENT.match(source, position)):
            modes.append("condition" if found[1] in ("if", "for") else "line")
            position = found.end()
            continue
        if mode == "text" and (found := NAME.match(source, position) or METHOD.match(source, position)):
            position = found.end()
            continue
        if letter in "[{" and mode == "condition":
            modes.pop()
        if letter == "[":
            modes.append("text")
        elif letter == "{" or (
            letter == "(" and (mode != "text" or re.match(r"[\w)#]", source[position - 1]))
        ):
            modes.append("code")
        elif letter in "]}" or (letter == ")" and mode == "code"):
            while modes[-1] == "line":
                modes.pop()
            modes.pop()
        elif letter == "\n" and mode == "line":
            modes.pop()
        elif mode == "text":
            kept.append(position)
        position += 1
    return source, kept


def prose(source: str) -> str:
    """What a typst source prints as it stands."""
    source, places = printed(source)
    return "".join(source[place] for place in places)


def swallowed(source: str) -> list[str]:
    """Semicolons of the prose that typst takes as the ends of expressions, with what stands before them."""
    source, places = printed(source)
    text = set(places)
    return [
        source[max(0, place - 40) : place + 1]
        for place in places
        if source[place] == ";" and place and place - 1 not in text and source[place - 1] != "["
    ]


def typed(source: str) -> set[str]:
    """Words of the prose that hold a digit."""
    return set(re.findall(r"\w*\d(?:[\w.]*\w)?", prose(source)))


def test_no_number_is_typed_by_hand():
    assert typed(SOURCE) <= ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "The network keeps 98.7 % of the images.",
        '#drawn("figure_4a", wide: true)[\n  Mean of 2000 trials.\n]\n',
        "#figure(table(columns: 2, [*Bits*], [about 79 thousand]), caption: [Sizes])",
        "#if x > 2 [At 20 percent]",
        "#let found = rows(1).filter(r => r.x == \"1\")\nIt takes 12 ms.",
        "as #fixed(row.mean, 3) and 4 more",
    ],
)  # fmt: skip
def test_a_typed_number_is_found(text):
    assert len(typed(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "as #fixed(row.mean, 3) % after #duration(2592000)",
        "#let n = calc.max(1, 2)\nText.",
        "$ sigma = 2 $ and `figure_4a` @he2016 <table1>",
        '#figure(table(columns: 2, table.hline(stroke: 0.6pt), ..rows("x").map(r => fixed(r.y, 2))))',
        "#if float(r.ours) < 2 [less] else [more]",
    ],
)  # fmt: skip
def test_code_may_hold_numbers(text):
    assert typed(text) == set()


def test_no_semicolon_is_swallowed():
    assert swallowed(SOURCE) == []


@pytest.mark.parametrize(
    "text",
    [
        "after #duration(later); over all configurations",
        '#if layers != "inner" [ unless configured otherwise]; activations',
        "#if few [some] else [all]; they",
        "of #config.run; then",
        "as #fixed(row.mean, 3).trim(); then",
        "caption: [the mean, #percent(x); bars]",
    ],
)
def test_a_swallowed_semicolon_is_found(text):
    assert len(swallowed(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "#let x = 1; text",
        "of #fixed(x, 2)#[;] then",
        "of #fixed(x, 2)\\; then",
        "#if few [; of no width] and (so on); then",
        "#rows(1).map(r => { let x = 1; x }).join([; ])",
        "a choice; `table` has it",
    ],
)
def test_other_semicolons_stay(text):
    assert swallowed(text) == []


def test_every_source_is_listed_and_cited():
    listed = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "references.bib").read_text("utf-8"), re.M))
    labels = set(re.findall(r"<(\w+)>", SOURCE))
    cited = set(re.findall(r"(?<![\w.])@([A-Za-z]\w*)", SOURCE)) - labels
    assert cited == listed
