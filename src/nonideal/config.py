"""Configuration: checked against a closed schema before any job runs."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from nonideal.conflicts import conflicts

# JSON Schema counts 7.0 as an integer; a range of 7.0 jobs does not exist.
VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


class ConfigError(ValueError):
    """A configuration that does not fit its schema; the message names key, value and allowed set."""


def validate(config: Mapping[str, Any], schema_path: str | os.PathLike[str]) -> None:
    """Check a configuration and report everything that is wrong with it at once.

    Parameters
    ----------
    config
        The merged configuration.
    schema_path
        JSON schema file.

    Raises
    ------
    ConfigError
        One line for each unknown key, missing key, wrong type and value out of range.
    """
    declared = json.loads(Path(schema_path).read_text(encoding="utf-8"))
    validator = VALIDATOR(declared)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    # Each of several missing keys is a finding of its own that names them all.
    lines = list(dict.fromkeys(line for error in errors for line in _explain(error)))
    lines = lines + list(_not_finite(config)) or list(conflicts(config))
    if lines:
        raise ConfigError("the configuration does not fit:\n" + "\n".join(f"  - {line}" for line in lines))


def _explain(error: jsonschema.ValidationError) -> Iterator[str]:
    """Lines in the user's terms for one finding of the validator."""
    where = ".".join(map(str, error.absolute_path))
    unit = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    about = f" ({unit})" if unit else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known), key=str):  # YAML has keys that are numbers
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            yield f"unknown key {_join(where, key)!r}: {hint}known keys here are {', '.join(known)}"
    elif error.validator == "required":
        for key in sorted(set(error.validator_value) - set(error.instance)):
            yield f"missing key {_join(where, key)!r}"
    elif error.validator == "type":
        wanted = error.validator_value
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
        yield f"{where} = {error.instance!r}: expected {wanted}{about}"
    elif error.validator == "enum":
        allowed = ", ".join(map(str, error.validator_value))
        yield f"{where} = {error.instance!r}: allowed are {allowed}{about}"
    elif error.validator == "not":
        yield f"{where} = {error.instance!r} is not allowed{about}"
    else:
        yield f"{where} = {error.instance!r}: {error.validator} {error.validator_value}{about}"


def _not_finite(value: Any, where: str = "") -> Iterator[str]:
    """Numbers that are none, which no limit of the schema excludes."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _not_finite(part, _join(where, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _not_finite(part, _join(where, place))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} = {value}: expected a finite number"


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
