import json
import subprocess
import sys

import pytest

from nonideal import imports


def names(paths):
    return {path.relative_to(imports.PACKAGE).as_posix() for path in paths}


def test_closure_follows_imports(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("def f():\n    from nonideal import tables\n")
    assert names(imports.behind(script)) == {"__init__.py", "tables.py", "provenance.py", "files.py"}


def test_relative_imports_and_packages(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("import nonideal.pcm.sweeps\n")
    found = names(imports.behind(script))
    assert {"pcm/__init__.py", "pcm/sweeps.py", "pcm/crossbar.py", "pcm/kernel.py", "rng.py"} <= found
    assert not any(name.startswith("training/") for name in found)


def test_notebooks_are_read(tmp_path):
    notebook = tmp_path / "a.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["import nonideal.nothing"]},
        {"cell_type": "code", "source": ["from nonideal\\\n", " import files\n"]},
    ]
    notebook.write_text(json.dumps({"cells": cells}))
    assert names(imports.behind(notebook)) == {"__init__.py", "files.py"}


def test_unknown_module(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("import nonideal.absent\n")
    with pytest.raises(ModuleNotFoundError, match=r"nonideal\.absent"):
        imports.behind(script)


def test_summaries_do_not_import_torch():
    # Jobs of a second: PyTorch would take three.
    modules = (
        "cnn_tradeoff, compare, mcu.fault_summary, mcu.formats, page, pcm.network_analysis, "
        "regularised.verdicts, spiking.summaries"
    )
    program = (
        "import sys, importlib\n"
        f"for name in {modules!r}.split(', '): importlib.import_module('nonideal.' + name)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


def test_training_does_not_import_what_takes_seconds_and_few_jobs_need():
    slow = {"torchvision", "torch._dynamo", "scipy.stats", "numba", "matplotlib"}
    program = (
        "import sys, nonideal.regularised.job, nonideal.spiking.precision, nonideal.pcm.networks\n"
        f"print(*sorted({slow!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
