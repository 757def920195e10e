"""Command line: ``python -m nonideal <command>``, or ``nonideal <command>`` where the package is installed.

A command is a module with `add_arguments(parser)`, `run(arguments) -> int` and an `EXAMPLE`; it is imported
only when asked for, so that ``nonideal status`` does not wait for PyTorch. What `run` returns is the exit
status: 0, or 1 where a check failed. Bad use, and files that are not what they should be, end with one line
on the error stream and status 2; an interrupt (Ctrl-C) ends with status 130.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import nonideal

# Name: module, what it does.
COMMANDS = {
    "list": ("nonideal.commands.targets", "what the workflow builds: every target in one line"),
    "export": ("nonideal.commands.export", "a trained network as C header, .npz and JSON for the C engine"),
    "harden": (
        "nonideal.commands.harden",
        "a network fine-tuned for few bits, stuck cells or variable cells",
    ),
    "deploy": ("nonideal.commands.deploy", "a network on chips of phase-change memory: accuracy over time"),
    "compare": ("nonideal.commands.compare", "a run's values beside the published ones"),
    "verify": ("nonideal.verify", "check every file of a run: bytes, schema, rows, content, provenance"),
    "restore": (
        "nonideal.restore",
        "start a run from a reference: results that are unchanged, without their jobs",
    ),
    "status": ("nonideal.status", "what of a run is done, running, failed or interrupted"),
    "sbom": ("nonideal.sbom", "software bill of materials of this environment, with licences"),
}
BAD_USE = 2  # exit status, as of argparse
INTERRUPTED = 130  # as of shells: 128 and the signal's number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    Parameters
    ----------
    arguments
        What follows the program's name on the command line; that of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parsed = make_parser(arguments[:1]).parse_args(arguments)
    try:
        return parsed.run(parsed)
    except BrokenPipeError:  # the reader of our output has had enough: `nonideal list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"nonideal {parsed.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except ValueError as error:  # the library's errors name file, key or value, and the remedy
        problem = str(error)
    print(f"nonideal {parsed.command}: {problem}", file=sys.stderr)
    return BAD_USE


def make_parser(named: Sequence[str]) -> argparse.ArgumentParser:
    """Parser of the command line.

    Parameters
    ----------
    named
        Commands whose modules are loaded, for their arguments.
    """
    parser = argparse.ArgumentParser(
        prog="nonideal",
        description="Low-bit networks on imperfect hardware: for your networks, and for a run's results.",
        epilog="nonideal COMMAND --help explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"nonideal {nonideal.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, does) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in named:
            loaded = importlib.import_module(module)
            loaded.add_arguments(command)
            command.epilog = f"example:\n  {loaded.EXAMPLE}"
            command.set_defaults(run=loaded.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
