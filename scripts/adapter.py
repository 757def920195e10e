"""What every adapter does first: send output to the rule's log, and collect provenance.

Snakemake opens no log for a `script:` rule. `start` copies everything written to stdout and stderr,
uncaught exceptions included, into the log, while it still shows on the terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

# Seconds between two states of a progress bar: the log of a job of many hours stays readable. tqdm reads it.
REDRAW_S = "5"


class Tee:
    """Text stream that writes to a terminal and to a log; progress bars become lines in the log."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.terminal.write(text)
        # A bar redraws itself after a carriage return: keep one line per redraw, drop the blank ones.
        self.log.write(text if "\r" not in text else text.replace("\r", "").rstrip() + "\n")
        self.log.flush()
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def isatty(self) -> bool:
        return self.terminal.isatty()

    def fileno(self) -> int:
        return self.terminal.fileno()

    @property
    def encoding(self) -> str:
        return self.terminal.encoding


def start(snakemake: Any) -> dict[str, Any]:
    """Open the rule's log and return the provenance of what the rule makes."""
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("w", encoding="utf-8")
    os.environ.setdefault("TQDM_MININTERVAL", REDRAW_S)
    sys.stdout, sys.stderr = Tee(sys.stdout, log), Tee(sys.stderr, log)

    from nonideal import provenance

    code = snakemake.input.get("code", [])
    code = [code] if isinstance(code, str) else list(code)
    return provenance.collect(
        config=snakemake.config,
        rule=snakemake.rule,
        params=dict(snakemake.params.items()) | {"wildcards": dict(snakemake.wildcards.items())},
        code=code,
        inputs=sorted({*snakemake.input} - {*code}),
    )


def resume(snakemake: Any, provenance: dict[str, Any]) -> dict[str, Any]:
    """What a training function needs to go on where a killed job stopped: `seed`, `progress`, `fingerprint`.

    The fingerprint covers everything checkpoints depend on: code, parameters, and the content of the inputs
    (of a data set its manifest, which holds the hash of the arrays).
    """
    from nonideal.files import sha256
    from nonideal.provenance import config_hash

    named = {name: files for name, files in snakemake.input.items() if name not in ("code", "arrays")}
    inputs = {
        name: [sha256(path) for path in ([files] if isinstance(files, str) else files)]
        for name, files in named.items()
    }
    params = {name: value for name, value in snakemake.params.items() if name != "progress"}
    depends = {"code": provenance["code_sha256"], "params": params, "inputs": inputs}
    return {
        "seed": snakemake.params.seed,
        "progress": snakemake.params.progress,
        "fingerprint": config_hash(depends),
    }


def finish(snakemake: Any) -> None:
    """Remove the checkpoints of a finished job."""
    # The job of a killed run may still be at work here, and remove them at the same moment.
    shutil.rmtree(snakemake.params.progress, ignore_errors=True)
