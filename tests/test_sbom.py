import csv
import importlib.metadata
import json

import pytest

from nonideal import sbom
from nonideal.__main__ import COMMANDS, main


@pytest.fixture(scope="module")
def bill():
    return sbom.document()


def test_every_installed_package_is_listed_with_its_version(bill):
    listed = {component["name"].lower(): component["version"] for component in bill["components"]}
    for name in ("numpy", "torch", "snakemake", "pyarrow"):
        assert listed[name] == importlib.metadata.version(name)
    assert len(listed) > 50 and "nonideal" not in listed


def test_dependencies_refer_to_listed_packages(bill):
    known = {component["bom-ref"] for component in bill["components"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert {entry["ref"] for entry in bill["dependencies"]} <= known | {own}
    edges = {entry["ref"]: set(entry["dependsOn"]) for entry in bill["dependencies"]}
    assert all(edge <= known for edge in edges.values())
    numpy, pandas = (f"pkg:pypi/{n}@{importlib.metadata.version(n)}" for n in ("numpy", "pandas"))
    assert numpy in edges[pandas] and pandas not in edges[numpy]


def test_the_document_is_cyclonedx_and_reproducible(bill):
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["serialNumber"].startswith("urn:uuid:")
    assert sbom.document() == bill
    for component in bill["components"]:
        (stated,) = component["licenses"]
        assert stated.get("expression") or stated["license"]["name"]


def test_licences_of_a_stated_expression_a_classifier_and_a_text():
    class Stated:
        def __init__(self, text):
            import email

            self.metadata = email.message_from_string(text)

    assert sbom.licence(Stated("License-Expression: MIT OR Apache-2.0\nLicense: x\n")) == "MIT OR Apache-2.0"
    classifiers = "Classifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: BSD License\n"
    assert sbom.licence(Stated(classifiers)) == "BSD License"
    assert sbom.licence(Stated("License: ISC\n")) == "ISC"
    assert sbom.licence(Stated("Name: x\n")) == sbom.UNKNOWN


def test_command_writes_both(tmp_path, capsys):
    assert main(["sbom", "--output", str(tmp_path / "sbom.json")]) == 0
    assert json.loads((tmp_path / "sbom.json").read_text())["components"]
    assert main(["sbom", "--licences"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {"package": "numpy", "version": importlib.metadata.version("numpy")}.items() <= next(
        row for row in rows if row["package"] == "numpy"
    ).items()


def test_every_command_explains_itself_without_importing_the_others(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
    with pytest.raises(SystemExit) as end:
        main(["verfy"])
    assert end.value.code == 2
    assert "invalid choice: 'verfy'" in capsys.readouterr().err
