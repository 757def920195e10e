"""Shipped configurations and mistakes in them, without running anything."""

import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import jinja2
import pytest
import yaml
from snakemake_project import FEWER

from nonideal.targets import TARGETS

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize("name", ["config", "reduced", "paper"])
def test_shipped_configurations_dry_run(tiny, name, tmp_path):
    for path in ("N-MNIST/Train/0/1.bin", "CIFAR10-DVS/cat/1.aedat"):  # recordings are not downloaded
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"")
    environment = {"NONIDEAL_DATA": str(tmp_path)}
    output = tiny.snakemake(options=("--dry-run",), config=f"config/{name}.yaml", environment=environment)
    run = "default" if name == "config" else name
    assert f"results/{run}/paper.pdf" in output and "results/tiny" not in output


def test_the_runs_that_are_killed_are_planned(tiny, tmp_path):
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(FEWER))
    dry = {"options": ("--dry-run",), "config": str(tmp_path / "fewer.yaml")}
    assert "training: mean accuracy and its interval" in tiny.snakemake(
        "table_bits", "firmware_tables", **dry
    )


def test_missing_recordings_are_named_before_any_job(tiny):
    dry = {"options": ("--dry-run",), "config": "config/reduced.yaml"}
    output = tiny.snakemake("table_snn_events", **dry, fails=True)
    assert "the recordings of nmnist" in output and "NONIDEAL_DATA" in output
    assert "most recent call last" not in output
    assert "crossbar: trials" in tiny.snakemake("figure_4a", **dry)  # which needs none


@pytest.mark.parametrize("name", ["config", "reduced", "paper"])
def test_shipped_data_sets_are_planned(tiny, name):
    output = tiny.snakemake("data", options=("--dry-run",), config=f"config/{name}.yaml")
    for wanted in {"config": [], "reduced": ["mnist", "cifar10"], "paper": ["emnist_letters"]}[name]:
        assert f"data: verify and convert {wanted}" in output


def test_a_small_share_of_cells_stuck_at_one_is_planned(tiny, tmp_path):
    few = {"regularised": {"faults": {"p_stuck1": [0, 0.00001]}}}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(few))
    output = tiny.snakemake("table_faults", options=("--dry-run",), config=str(tmp_path / "few.yaml"))
    assert "faults/3-1e-05/accuracy.parquet" in output


@pytest.mark.parametrize(
    "figure", ["figure_bits", "figure_ptq_qat", "figure_quantscale", "figure_first_layer"]
)
def test_captions_call_no_other_widths_published(root, figure):
    text = (root / f"workflow/report/{figure}.rst").read_text(encoding="utf-8")
    config = yaml.safe_load((root / "config/config.yaml").read_text(encoding="utf-8"))
    said = []
    for widths in ([64, 64, 64], [32, 16]):
        config["training"]["widths"] = widths
        said.append(jinja2.Template(text).render(snakemake=SimpleNamespace(config=config)))
    assert "(published: 64" not in said[0] and ", as published." in said[0]
    assert "(published: 64" in said[1] and "neurons, as published" not in said[1]


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_report_is_made_anew_after_a_caption_was_edited(root, tmp_path):
    """A caption is an input of the page, not of the paper."""
    folder = tmp_path / "results/default"
    folder.mkdir(parents=True)

    def age(name, seconds):
        (folder / name).touch()
        os.utime(folder / name, (1e9 - seconds, 1e9 - seconds))

    def due():
        command = ["make", "-q", "-f", root / "Makefile", "results/default/report.zip"]
        return subprocess.run(command, cwd=tmp_path, check=False).returncode == 1

    for name, seconds in (
        ("paper.pdf", 300),
        ("index.html", 250),
        ("manifest.json", 200),
        ("report.zip", 100),
    ):
        age(name, seconds)
    assert not due()
    age("index.html", 50)
    age("manifest.json", 40)
    assert due()


def test_typo_is_an_error_before_any_job(tiny):
    output = tiny.snakemake(options=("--config", "crossbar={trails: 3}"), fails=True)
    assert "unknown key 'crossbar.trails': did you mean 'trials'?" in output
    assert "Traceback" not in output and "rule " not in output.split("unknown key")[0]


def test_a_misspelt_target_is_told_what_there_is(tiny):
    output = tiny.snakemake("figure_4z", options=("--dry-run",), fails=True)
    assert "no target is called figure_4z; did you mean figure_4c or figure_4b or figure_4a?" in output
    output = tiny.snakemake("nonsense", options=("--dry-run",), fails=True)
    assert "no target is called nonsense; `nonideal list` names all of them" in output


def test_wrong_data_root_is_named(tiny):
    output = tiny.snakemake("training", options=("--config", "data={root: /nowhere/at/all}"), fails=True)
    assert "/nowhere/at/all" in output and "data.root" in output


def test_every_target_is_listed(tiny):
    output = tiny.snakemake(options=("--list-target-rules",))
    wanted = {"figure_4a", "figure_4b", "figure_4c", "figure_ternary", "figure_bits", "table_eq8"}
    wanted |= {"figures", "crossbar", "training", "compare_published", "paper", "all"}
    assert wanted <= set(output.split())


def test_targets_name_every_rule_they_need(tiny):
    tables = [target.name for target in TARGETS if target.name.startswith("table")]  # no others need these
    output = tiny.snakemake("all", *tables, options=("--rulegraph", "dot", "--forceall"))
    names = dict(re.findall(r'^\s*(\d+)\[label = "([^"]+)"', output, re.MULTILINE))
    needed = {name: set() for name in names.values()}
    for before, after in re.findall(r"^\s*(\d+) -> (\d+)", output, re.MULTILINE):
        needed[names[after]].add(names[before])

    for target in TARGETS:  # README's processor minutes are the sum over these
        found, left = set(), [target.name]
        while left:  # a rule may need another job of its own: networks that go on from each other
            more = needed[left.pop()] - found
            found |= more
            left += more
        assert set(target.rules) == found - {"dataset"}, target.name


def test_imagenet_is_planned_from_its_folders(tiny, tmp_path):
    for part in ("train", "val"):
        for name in ("n01", "n02"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            (folder / "a.JPEG").write_bytes(b"")
    output = tiny.snakemake(
        "table_qat",
        "figure_faults",
        options=("--dry-run",),
        config="config/paper_imagenet.yaml",
        environment={"NONIDEAL_DATA": str(tmp_path)},
    )
    assert "data: verify and convert imagenet64" in output
    assert "results/paper_imagenet/tables/table_qat.csv" in output


def test_published_networks_of_the_microcontroller_are_planned(tiny):
    output = tiny.snakemake("firmware", options=("--dry-run",), config="config/bitnetmcu.yaml")
    for name in ("binary", "2bitsym", "8bit"):  # of widths of their own
        assert f"firmware: training {name} at widths that fit the flash" in output
    assert "firmware: training 4bitsym" not in output


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_profiles_of_clusters_plan_the_run(tiny, name):
    pytest.importorskip(f"snakemake_executor_plugin_{name.replace('-', '_')}")
    profile = ("--dry-run", "--forceall", "--profile", f"workflow/profiles/{name}")
    output = tiny.snakemake("crossbar", options=profile)
    assert "crossbar: trials of shard 0001" in output


def test_kubernetes_profile_plans_every_job(unbuilt):
    """From a storage in place of the volume's folder. No cluster is asked: there is no address of one."""
    reason = "the plugins are not installed: make test-kubernetes installs them and runs this test"
    pytest.importorskip("snakemake_executor_plugin_kubernetes", reason=reason)
    whole = ("--dry-run", "--forceall")
    profile = ("--profile", "workflow/profiles/kubernetes", "--default-storage-prefix", str(unbuilt.folder))
    output = unbuilt.snakemake(options=(*whole, *profile), environment={"KUBECONFIG": "/nowhere/at/all"})
    # The storage holds data and results; code too, else inputs would be missing.
    for path in ("resources/data/digits/manifest.json", "results/tiny/paper.pdf"):
        assert f"{unbuilt.folder}/{path} (retrieve from storage)" in output
    assert counts_of_jobs(output) == counts_of_jobs(unbuilt.snakemake(options=whole))


def counts_of_jobs(output):
    """Rows of the table a dry run prints."""
    rows = sorted(output.split("Job stats:")[1].split("\n\n")[0].splitlines())
    assert len(rows) > 50
    return rows
