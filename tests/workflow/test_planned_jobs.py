"""What jobs are given, without running anything: parameters that they read and no others, GPUs, time."""

import copy
import math
from functools import cache

import pytest
import yaml
from snakemake.utils import update_config
from snakemake_project import TINY, Project

from nonideal import faults, variability

pytestmark = pytest.mark.workflow

FLASH_ALONE = {"widths": {"4bitsym": [5]}}
# Changes of the configuration, jobs that do not read what changes, and jobs that do.
CHANGES = [
    (
        {
            "spiking": {"qat": {"epochs": 2}, "formats": ["q4.4", "twn", "binary"]},
            "training": {"epochs": 2, "seeds": 3, "optimiser": "muon", "learning_rate": 0.1, "widths": [9]},
            "firmware": FLASH_ALONE,
            "regularised": {"alpha": "sqrt", "layers": "all", "quantiser_weight_decay": 0.1},
        },
        ["spiking_float", "spiking_multiplier", "capacity", "regularised_float"],
        ["spiking_format/twn", "train/ternary", "train_float", "quantscale", "regularised_qat/fixed"],
    ),
    (
        {
            "training": {"epochs": 2, "seeds": 3, "clipping": {"2bitsym": "octav"}},
            "spiking": {"float": {"epochs": 2}, "regularised": {"faults": {"p_stuck1": [0.5, 1]}}},
            "regularised": {"faults": {"p_stuck1": [0.5, 1]}, "methods": ["fixed", "multiplier"]},
        },
        [
            "quantscale",
            "capacity",
            "spiking_faults/4/0.5",
            "regularised_faults/3/0.5",
            "regularised_qat/fixed",
            "regularised_headline",
        ],
        ["train/ternary", "train_float", "spiking_float"],
    ),
    (
        {
            "training": {"clipping": {"4bitsym": "octav"}, "formats": ["4bitsym", "ternary", "2bitsym"]},
            "regularised": {
                "holdout": 1200,
                "model": "resnet20",
                "width": 5,
                "float": {"epochs": 2, "learning_rate": 0.2},
                "faults": {"rates": [0, 0.1]},
                "variability": {"sigmas": [0.1]},
                "qat": {"bits": [3, 4]},
            },
        },
        ["train/ternary", "train_float", "train_widths/ternary", "quantscale", "regularised_headline"],
        ["train/4bitsym", "flash_faults/4bitsym/plain", "capacity", "regularised_float", "post_training"],
    ),
]


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    return Project(root, tmp_path_factory.mktemp("planned"))


@pytest.fixture(scope="module")
def before(project):
    return project.jobs("tiny.yaml")


@pytest.fixture(scope="module")
def after(project):
    """Jobs after one of the changes, by its place."""

    @cache
    def plan(place):
        (project.folder / "changed.yaml").write_text(yaml.safe_dump(CHANGES[place][0]))
        return project.jobs("tiny.yaml", "changed.yaml")

    return plan


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_jobs_depend_on_what_they_read_alone(before, after, place):
    """Parameters make a job due and name its checkpoints: one that it does not read would discard them."""
    _, same, other = CHANGES[place]
    for names, equal in ((same, True), (other, False)):
        found = {name: before[name]["params"] == after(place)[name]["params"] for name in names}
        assert found == dict.fromkeys(names, equal)


def test_a_format_of_the_flash_alone_has_its_own_widths_too(after):
    jobs = after(next(k for k, (change, *_) in enumerate(CHANGES) if FLASH_ALONE in change.values()))
    assert "4bitsym" not in TINY["firmware"]["formats"] and "4bitsym" in TINY["flash"]["formats"]
    assert jobs["train_widths/4bitsym"]["params"]["settings"]["widths"] == [5]
    assert jobs["flash_faults/4bitsym/plain"]["params"]["settings"]["widths"] == [5]
    assert jobs["firmware_tables"]["params"]["others"] == ["ternary"]  # it is no program


def test_widths_that_no_program_has_room_for_are_refused_before_the_training(project):
    wide = copy.deepcopy(TINY)
    wide["firmware"]["widths"]["ternary"] = [1000]
    (project.folder / "wide.yaml").write_text(yaml.safe_dump(wide))
    options = ("--dry-run", "--quiet", "all")
    said = project.snakemake("firmware", options=options, config="wide.yaml", fails=True)
    assert "ternary with hidden layers of [1000] takes " in said
    assert "name narrower ones in firmware.widths.ternary, or ask for targets without firmware and" in said
    project.snakemake("training", options=options, config="wide.yaml")  # needs no program


@pytest.fixture(scope="module")
def paper(project, tmp_path_factory):
    """Jobs of the paper's configuration, whose recordings are not downloaded, and the configuration."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "CIFAR10-DVS/cat").mkdir(parents=True)
    (folder / "CIFAR10-DVS/cat/1.aedat").touch()
    config = yaml.safe_load((project.folder / "config/config.yaml").read_text())
    update_config(config, yaml.safe_load((project.folder / "config/paper.yaml").read_text()))
    return project.jobs("config/paper.yaml", environment={"NONIDEAL_DATA": str(folder)}), config


def test_jobs_that_need_a_gpu_ask_for_one(paper, before):
    jobs, _ = paper
    asked = {name.split("/")[0] for name, job in jobs.items() if job["resources"].get("gres") == "gpu:1"}
    networks = {"train_network", "network_chips", "network_options"}
    cells = {"regularised_faults", "regularised_variability", "regularised_pcm"}
    assert asked == networks | cells | {"regularised_float", "regularised_qat", "regularised_headline"}
    assert not [name for name, job in before.items() if "gres" in job["resources"]]  # device: auto


def test_other_published_networks_are_planned(project, tmp_path):
    for part in ("train", "val"):
        for name in ("n01", "n02"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "a.JPEG").touch()
    (tmp_path / "CIFAR10-DVS/cat").mkdir(parents=True)
    (tmp_path / "CIFAR10-DVS/cat/1.aedat").touch()
    shipped = {("paper", "paper_vgg13"): "vgg13", ("paper_imagenet", "paper_imagenet_resnet50"): "resnet50"}
    for names, model in shipped.items():
        files = [f"config/{name}.yaml" for name in names]
        jobs = project.jobs(*files, environment={"NONIDEAL_DATA": str(tmp_path)})
        job = jobs["regularised_faults/4/0.5"]
        assert job["params"]["settings"]["model"] == model and job["resources"]["gres"] == "gpu:1"
        assert job["params"]["progress"].startswith(f"results/{names[-1]}/")
        assert job["resources"]["runtime"] > 2400


def test_time_of_training_follows_epochs_and_seeds(paper, before):
    """At least 0.75 minutes an epoch, on CIFAR-10; small runs have the usual time."""
    jobs, config = paper
    study, seeds = config["regularised"], config["regularised"]["seeds"]
    modes, methods = len(faults.MODES), len(variability.METHODS)
    rates = [modes if rate else 2 for rate in study["faults"]["rates"]]
    course = study["headline"]["methods"]
    epochs = {
        "regularised_float": seeds * 200,
        "regularised_qat/fixed": 3 * seeds * 200,
        "regularised_faults/4/0.5": sum(rates) * seeds * 200,
        "regularised_variability/regularised": 4 * seeds * 20,
        "regularised_pcm/fixed": methods * seeds * 20,
        "regularised_headline": seeds * ((len(course) + modes) * 200 + methods * 20),
        "train_network/float": 200,
    }
    for name, count in epochs.items():
        usual = before[name if name in before else name.replace("/4/", "/3/")]["resources"]["runtime"]
        assert jobs[name]["resources"]["runtime"] == max(usual, math.ceil(0.75 * count)), name
    assert jobs["regularised_qat/fixed"]["resources"]["runtime"] > 1200
    assert before["regularised_qat/fixed"]["resources"]["runtime"] == 1200
    assert before["train_network/float"]["resources"]["runtime"] == 600
