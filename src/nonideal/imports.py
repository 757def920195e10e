"""Which library files stand behind a script: the transitive closure of its imports.

A workflow engine re-runs a job when an input changed; it does not know that a script imports a module.
The workflow therefore lists the files found here as inputs of every rule.
"""

from __future__ import annotations

import ast
import json
import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name


def behind(script: str | os.PathLike[str]) -> list[Path]:
    """Files of this package that `script` imports, directly or through other files of the package.

    Parameters
    ----------
    script
        A Python source file or a notebook. It is parsed, never executed: an import in a function counts.

    Raises
    ------
    ModuleNotFoundError
        If an import names a module of this package that does not exist.
    """
    found: set[Path] = set()
    todo = list(_direct(Path(script)))
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo.extend(_direct(path))
    return sorted(found)


@cache
def _direct(path: Path) -> frozenset[Path]:
    """Files of this package named by the import statements of one file."""
    tree = ast.parse(_source(path), filename=str(path))
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            modules.add(base)
            # `from package import module` names a file too; `from module import function` does not.
            modules |= {f"{base}.{alias.name}" for alias in node.names if _file(f"{base}.{alias.name}")}
    files: set[Path] = set()
    for module in modules:
        if module.split(".")[0] == NAME:
            files |= _with_parents(module)
    return frozenset(files)


def _source(path: Path) -> str:
    """Python source of a file; of a notebook, its code cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Dotted name of the module of a `from ... import`, relative ones resolved."""
    if not node.level:
        return node.module or ""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    parts = (NAME, *folder.relative_to(PACKAGE).parts, *([node.module] if node.module else []))
    return ".".join(parts)


def _file(module: str) -> Path | None:
    """Source file of a dotted module name of this package, if there is one."""
    name, *parts = module.split(".")
    if name != NAME:
        return None
    path = PACKAGE.joinpath(*parts)
    candidates = (path / "__init__.py", path.with_suffix(".py")) if parts else (PACKAGE / "__init__.py",)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _with_parents(module: str) -> set[Path]:
    """File of a module and of the packages it lies in, whose ``__init__`` runs first."""
    parts = module.split(".")
    files = [_file(".".join(parts[: n + 1])) for n in range(len(parts))]
    if files[-1] is None:
        raise ModuleNotFoundError(f"no module {module!r} in {PACKAGE}")
    return {file for file in files if file}
