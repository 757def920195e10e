"""The commands of ``nonideal``: one module each, with `add_arguments`, `run` and the `EXAMPLE` of its help.

A command is thin: it reads what the user names, calls the library, and writes files that are whole or absent.
"""


class UsageError(ValueError):
    """What the user asked for cannot be done; the message names file, key or value, and the remedy."""
