"""Software bill of materials: the installed packages a run depends on, in CycloneDX, and their licences."""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import io
import json
import os
import platform
import uuid
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nonideal.files import write_text

EXAMPLE = "nonideal sbom --licences"

PACKAGE = "nonideal"
SPEC_VERSION = "1.6"  # of CycloneDX, https://cyclonedx.org/docs/1.6/json/
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "nonideal")
UNKNOWN = "not stated"


def installed() -> dict[str, Distribution]:
    """Installed distributions by normalised name; of two of one name, the one Python imports."""
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"]:
            found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution)
    return dict(sorted(found.items()))


def licence(distribution: Distribution) -> str:
    """Licence as the package states it: SPDX expression, else classifiers, else the first line of text."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = metadata.get_all("Classifier") or []
    names = [line.rsplit(" :: ", 1)[-1] for line in classifiers if line.startswith("License :: ")]
    if names := [name for name in names if name != "OSI Approved"]:
        return "; ".join(names)
    text = (metadata.get("License") or "").strip()
    return text.splitlines()[0] if text else UNKNOWN


def requirements(distribution: Distribution, known: dict[str, Distribution]) -> list[str]:
    """Installed packages a package asks for on this platform, without its optional extras."""
    wanted = set()
    for text in distribution.requires or []:
        requirement = Requirement(text)
        try:
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except UndefinedEnvironmentName:
            needed = False
        if needed and canonicalize_name(requirement.name) in known:
            wanted.add(canonicalize_name(requirement.name))
    return sorted(wanted)


def document() -> dict[str, Any]:
    """Bill of materials of this environment as a CycloneDX document; the same for the same packages.

    No time and no host are in it, so that two equal environments give equal bytes.
    """
    known = installed()
    components = [
        {
            "type": "library",
            "bom-ref": _reference(name, distribution),
            "name": distribution.metadata["Name"],
            "version": distribution.version,
            "purl": _reference(name, distribution),
            "licenses": [_licence_entry(distribution)],
        }
        for name, distribution in known.items()
        if name != PACKAGE
    ]
    dependencies = [
        {
            "ref": _reference(name, distribution),
            "dependsOn": [_reference(other, known[other]) for other in requirements(distribution, known)],
        }
        for name, distribution in known.items()
    ]
    own = known.get(PACKAGE)
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": _reference(PACKAGE, own) if own else f"pkg:pypi/{PACKAGE}",
                "name": PACKAGE,
                "version": own.version if own else "not installed",
            },
            "properties": [{"name": "python", "value": platform.python_version()}],
        },
        "components": components,
        "dependencies": dependencies,
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(content, sort_keys=True))
    return content | {"serialNumber": f"urn:uuid:{serial}"}


def _licence_entry(distribution: Distribution) -> dict[str, Any]:
    # Only a package that states an SPDX expression says something a program may rely on.
    if expression := distribution.metadata.get("License-Expression"):
        return {"expression": expression}
    return {"license": {"name": licence(distribution)}}


def _reference(name: str, distribution: Distribution) -> str:
    """Package URL, https://github.com/package-url/purl-spec."""
    return f"pkg:pypi/{name}@{distribution.version.replace('+', '%2B')}"


def licences() -> str:
    """Packages, versions and licences as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("package", "version", "licence"))
    for name, distribution in installed().items():
        writer.writerow((name, distribution.version, licence(distribution)))
    return text.getvalue()


def write(bill: str | os.PathLike[str], table: str | os.PathLike[str]) -> None:
    """Write the bill of materials as JSON and the licences as CSV."""
    write_text(bill, json.dumps(document(), indent=1) + "\n")
    write_text(table, licences())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--licences", action="store_true", help="print the table of licences instead")
    parser.add_argument("--output", type=Path, help="file to write; the screen if not given")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the bill of materials."""
    text = licences() if arguments.licences else json.dumps(document(), indent=1) + "\n"
    if arguments.output:
        write_text(arguments.output, text)
    else:
        print(text, end="")
    return 0
