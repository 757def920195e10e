"""Command line: ``python -m nonideal <command>``, or ``nonideal <command>`` where the package is installed.

A command is a module with `add_arguments(parser)` and `run(arguments) -> int`; it is imported only when asked
for, so that ``nonideal status`` does not wait for PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Name: module, what it does.
COMMANDS = {
    "verify": ("nonideal.verify", "check every file of a run: bytes, schema, rows, content, provenance"),
    "status": ("nonideal.status", "what of a run is done, running, failed or interrupted"),
    "sbom": ("nonideal.sbom", "software bill of materials of this environment, with licences"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    Parameters
    ----------
    arguments
        What follows the program's name on the command line; that of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="nonideal", description="Tools around a run's results.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, does) in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if arguments[:1] == [name]:
            loaded = importlib.import_module(module)
            loaded.add_arguments(command)
            command.set_defaults(run=loaded.run)
    parsed = parser.parse_args(arguments)
    return parsed.run(parsed)


if __name__ == "__main__":
    sys.exit(main())
