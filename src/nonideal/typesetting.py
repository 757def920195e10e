"""The paper: typst source and a run's tables and figures in, PDF out."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nonideal.files import atomic


def compile_paper(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    results: str | os.PathLike[str],
    config: Mapping[str, Any],
) -> None:
    """Compile the paper of one run; the same tables give the same bytes.

    Parameters
    ----------
    source
        Main typst file.
    target
        PDF to write.
    results
        Folder of the run, with ``figures/``, ``tables/`` and ``provenance.json``.
    config
        Parts of the configuration the text refers to.

    Raises
    ------
    RuntimeError
        If the source does not compile; the message is typst's, with file and line.
    """
    import typst

    source, results = Path(source).resolve(), Path(results).resolve()
    root = Path(os.path.commonpath([source, results]))
    provenance = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    inputs = {
        "results": "/" + results.relative_to(root).as_posix(),
        "config": json.dumps(config, sort_keys=True),
    }
    made = datetime.datetime.fromisoformat(provenance["time_utc"])
    with atomic(target) as temporary:
        try:
            typst.compile(
                str(source),
                output=str(temporary),
                root=str(root),
                sys_inputs=inputs,
                ignore_system_fonts=True,  # the fonts embedded in typst are the same everywhere
                timestamp=int(made.timestamp()),
                format="pdf",
            )
        except typst.TypstError as error:
            raise RuntimeError(f"{source} does not compile: {error}") from None
