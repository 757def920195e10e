"""Arguments that several commands describe in the same way."""

from __future__ import annotations

import argparse


def add_count(parser: argparse.ArgumentParser, name: str, default: int, meaning: str = "") -> None:
    """Argument that is a whole number, with its default in the help.

    Parameters
    ----------
    parser
        Takes the argument.
    name
        As it is typed, such as ``--chips``.
    default
        Value if it is not given.
    meaning
        For the help.
    """
    described = f"{meaning} (default: {default})".lstrip()
    parser.add_argument(name, type=int, metavar="N", default=default, help=described)
