"""A copy of the project, and Snakemake run on it."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PARTS = ("workflow", "scripts", "config", "notebooks", "paper", "src", "firmware")
OTHER = {"architecture": "resnet20", "epochs": 4, "small_share": 0, "averaging_epochs": 1}
CONTINUED = {
    "name": "continued",
    "taught": False,
    "continued": "float",
    "learning_rate": 0.02,
    "sharpness": 0.1,
    "sharpness_share": 0.25,
    "still_share": 0.5,
}

TINY = {
    "run": "tiny",
    "data": {"root": None, "download": False},
    "crossbar": {
        "rows": 16,
        "trials": 12,
        "shards": 2,
        "figure_4b": {"bases": [1, 2, 4]},
        "figure_4c": {"points": 3},
        "ternary": {"points": 3},
    },
    "training": {"formats": ["4bitsym", "ternary"], "widths": [8], "seeds": 2, "epochs": 1},
    "firmware": {"formats": ["ternary"], "widths": {"ternary": [6]}},
    "flash": {
        "formats": ["4bitsym"],
        "kernels": ["plain"],
        "rates": [0, 0.2],
        "epochs": 1,
        "learning_rate": 0.001,
    },
    "capacity": {"formats": ["4bitsym", "ternary"], "widths": [3, 6], "seeds": 2, "epochs": 1},
    "quantscale": {"values": [0.2, 0.4], "references": ["octav"], "seeds": 2, "epochs": 1},
    "cnn": {"channels": [2], "seeds": 2, "epochs": 1, "emulated_images": 10},
    "networks": {
        "width": 2,
        "pixels": 8,
        "others": [
            OTHER | {"name": "deeper", "taught": False},
            OTHER | {"name": "taught", "taught": True},
            OTHER | CONTINUED,
            OTHER | CONTINUED | {"name": "again", "continued": "continued"},
            OTHER | CONTINUED | {"name": "schooled", "taught": True},
        ],
        "teachers": [
            {
                "name": "wide",
                "architecture": "resnet8",
                "width": 4,
                "epochs": 4,
                "batch_size": 200,
                "learning_rate": 0.1,
                "threads": None,
            }
        ],
        "distillation": {"networks": ["float", "again"], "views": 2},
        "float": {
            "epochs": 3,
            "small": {"share": 0.5, "pixels": 6},
            "augmentation": "crop_flip",
            "averaging": {"epochs": 1},
        },
        "noise": {"epochs": 1},
        "deployment": {
            "n_slices": [1, 2],
            "points": 2,
            "chips": 2,
            "shards": 1,
            "images": 40,
            "ablation_chips": 2,
        },
    },
    "spiking": {
        "formats": ["q4.4", "twn"],
        "widths": [8],
        "steps": 5,
        "seeds": 2,
        "float": {"epochs": 1},
        "qat": {"epochs": 1},
        "regularised": {
            "seeds": 2,
            "qat": {"epochs": 1, "learning_rate": 0.01},
            "faults": {"rates": [0, 0.2], "epochs": 1, "learning_rate": 0.01},
            "variability": {"sigmas": [0.4], "epochs": 1, "learning_rate": 0.01},
        },
        "events": {"recordings": 40, "steps": 3, "width": 2, "folds": 2, "epochs": 1},
    },
    "regularised": {
        "width": 4,
        "alpha": "mean",
        "seeds": 2,
        "holdout": 1300,
        "methods": ["fixed", "multiplier", "multiplier_ste"],
        "float": {"epochs": 1},
        "qat": {"bits": [3], "epochs": 1},
        "faults": {"bits": [3], "rates": [0, 0.2], "p_stuck1": [0.5], "epochs": 1},
        "variability": {"bits": [3], "sigmas": [0.4], "epochs": 1},
        "pcm": {"bits": [3], "epochs": 1},
        "headline": {"methods": ["multiplier"], "epochs": 1, "learning_rate": 0.005},
    },
    "fpga": {"formats": ["twn"], "images": 1, "lanes": [1], "parallel": {"inputs": 8}},
}

# Of the runs that `make test-chaos` kills, every moment of which is met more often; `make test` plans them.
FEWER = {key: TINY[key] for key in ("run", "data", "crossbar")} | {
    "training": TINY["training"] | {"formats": ["binary"], "epochs": 6},
    "firmware": {"formats": ["binary"]},
    "flash": {"formats": ["binary"]},
}


# Prints all jobs of a configuration, done or not, with their parameters and resources; runs nothing.
PLAN = """
import json, sys
from nonideal import planned

def described(job):
    parts = ("params", "resources", "wildcards")
    return {"rule": job.rule.name} | {part: dict(getattr(job, part).items()) for part in parts}

planned._planned = described
print("JOBS" + json.dumps(planned._plan(sys.argv[1:], set())[1], default=str))
"""


class Project:
    """A copy of the project's files and the means to run Snakemake on it."""

    def __init__(self, root: Path, folder: Path, *, left_out: str = "__pycache__") -> None:
        self.folder = folder
        for part in PARTS:
            shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns(left_out))
        (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))

    def copy(self, folder: Path) -> "Project":
        """Project with the same files, results and notes of what made them, as old as here."""
        shutil.copytree(self.folder, folder, symlinks=True)
        found = copy.copy(self)
        found.folder = folder
        return found

    def snakemake(self, *targets, options=(), environment=None, config="tiny.yaml", fails=False, cores=2):
        """Run Snakemake; return what it printed."""
        variables = {key: value for key, value in os.environ.items() if key != "NONIDEAL_DATA"}
        variables |= environment or {}
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", config]
        command += [*options, "--", *targets]  # --configfile takes everything up to the next option
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            text=True,
            capture_output=True,
            timeout=1500,
            check=False,
        )
        output = done.stdout + done.stderr
        begin = output.find("Traceback") if "Traceback" in output else -6000
        assert (done.returncode != 0) == fails, output[begin:][:6000]
        return output

    def due(self, *targets, options=(), environment=None):
        """Names of the rules that have a job to do, from the table a dry run prints."""
        output = self.snakemake(*targets, options=("--dry-run", *options), environment=environment)
        if "Job stats:" not in output:
            assert "Nothing to be done" in output, output[-3000:]
            return set()
        table = output.split("Job stats:")[1].split("total")[0]
        return {line.split()[0] for line in table.splitlines()[3:] if line.strip()}

    def jobs(self, *configs, environment=None):
        """Parameters and resources of every job under configurations on top of each other, by its name."""
        variables = {key: value for key, value in os.environ.items() if key != "NONIDEAL_DATA"}
        variables |= {"PYTHONPATH": str(self.folder / "src")} | (environment or {})
        command = [sys.executable, "-c", PLAN, *map(str, configs)]
        done = subprocess.run(
            command, cwd=self.folder, env=variables, text=True, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        jobs = json.loads(done.stdout.split("JOBS")[1])
        return {"/".join([job["rule"], *map(str, job["wildcards"].values())]): job for job in jobs}

    def result(self, path):
        return self.folder / "results/tiny" / path
