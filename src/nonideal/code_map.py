"""From every figure and table to its code: notebook, tables, rules, library files, as README lists them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from nonideal import imports

# An entry of a study's FIGURES or TABLES; a rule; a table among its outputs; its adapter.
FIGURE = re.compile(r'"(figure_\w+)"\]?(?::| =) \{(.*?)\}', re.S)
TABLE = re.compile(r'"(table_\w+|compare_published)"\]?(?::| =) "([\w/]+\.parquet)"')
RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.M | re.S)
OUTPUT = re.compile(r"^    output:\n(.*?)^    \w", re.M | re.S)
RESULT = re.compile(r'result\("([\w/{}.-]+)"\)')
ADAPTER = re.compile(r'adapter\("(\w+)"\)')
# What every adapter uses, and declarations of tables.
COMMON = re.compile(r"__init__|rng|schemas/.*|show|tables|tensorfile")


def rows(root: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Target, notebook (empty for a table), tables, rules and library files of every figure and table.

    Parameters
    ----------
    root
        Top folder of the checkout.
    """
    texts = {path.name: path.read_text(encoding="utf-8") for path in included(root)}
    made: dict[str, tuple[str, str, str]] = {}  # table -> rule, its file, its text
    for file, text in texts.items():
        for name, body in RULE.findall(text):
            for found in OUTPUT.findall(body):
                made |= dict.fromkeys(RESULT.findall(found), (name, file, body))
    for text in texts.values():
        for name, entries in FIGURE.findall(text):
            sources = re.findall(r'"([\w/]+\.parquet)"', entries)
            yield name, f"notebooks/{name}.ipynb", *_behind(root, sources, made)
        for name, source in TABLE.findall(text):
            yield name, "", *_behind(root, [source], made)


def included(root: Path) -> list[Path]:
    """Rule files of the checkout at `root`, in the order of the Snakefile."""
    snakefile = root / "workflow/Snakefile"
    names = re.findall(r'^include: "(.*)"', snakefile.read_text(encoding="utf-8"), re.M)
    return [snakefile.parent / name for name in names]


def _behind(root: Path, sources: list[str], made: dict[str, tuple[str, str, str]]) -> tuple[str, str, str]:
    """Tables, rules that write them with their file, and the library files that their scripts import."""
    rules = dict.fromkeys(made[source][:2] for source in sources)
    library = {}
    for source in sources:
        for adapter in ADAPTER.findall(made[source][2]):
            library |= dict.fromkeys(_called(root / f"scripts/{adapter}.py"))
    named = ", ".join(f"`{rule}` in `{file}`" for rule, file in rules)
    return ", ".join(f"`{source}`" for source in sources), named, ", ".join(f"`{file}`" for file in library)


def _called(script: Path) -> Iterator[str]:
    """Files of the library that an adapter imports itself, those it imports only if needed included."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith(imports.NAME):
            continue
        place = Path(*str(node.module).split(".")[1:])
        names = [place / alias.name for alias in node.names]
        for name in names if (imports.PACKAGE / place).is_dir() else [place]:
            for file in (name.with_suffix(".py"), name / "__init__.py", place / "__init__.py"):
                if (imports.PACKAGE / file).is_file():
                    if not COMMON.fullmatch(file.with_suffix("").as_posix()):
                        yield file.as_posix()
                    break
