"""Lock, environment.yml and pyproject.toml say the same."""

import ast
import importlib.metadata
import os
import re
import sys
import tomllib

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock(root):
    """Pins of the lock: name -> versions, and the text of each entry."""
    entries = re.split(r"\n(?=[a-z0-9])", (root / "requirements.lock").read_text())
    pins = {}
    for entry in entries:
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", entry):
            pins.setdefault(match[1], []).append((match[2], entry))
    return pins


def test_every_requirement_is_locked_inside_its_range(project, lock):
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.name in lock, f"{requirement.name} is not in requirements.lock: make lock"
        for version, _ in lock[requirement.name]:
            assert version in requirement.specifier, f"{text} excludes the locked {version}: make lock"


def test_every_import_is_a_requirement(root, project):
    """What another package brings along today it may drop tomorrow."""
    wanted = {Requirement(text).name for text in project["project"]["dependencies"]}
    packages = importlib.metadata.packages_distributions()
    own = {"nonideal", "adapter"} | sys.stdlib_module_names
    for path in (*root.glob("src/**/*.py"), *root.glob("scripts/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            for name in {name.partition(".")[0] for name in names} - own:
                brought = {part.lower().replace("_", "-") for part in packages.get(name, [name])}
                assert brought & wanted, (
                    f"{path.relative_to(root)} imports {name}: add {brought} to pyproject"
                )


def test_every_pin_has_hashes(lock):
    assert len(lock) > 50
    for name, versions in lock.items():
        for version, entry in versions:
            assert "--hash=sha256:" in entry, f"{name}=={version} has no hash"


def test_installed_is_what_is_locked(lock, project):
    for text in project["project"]["dependencies"]:
        name = Requirement(text).name
        versions = {version for version, _ in lock[name]}
        assert importlib.metadata.version(name) in versions, f"{name} differs from the lock: make setup"


def test_conda_environment_carries_the_same_pins(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    pip = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == [["-r requirements.lock"]]
    (python,) = [part for part in environment["dependencies"] if str(part).startswith("python=")]
    version = python.removeprefix("python=")
    assert Requirement(f"x{project['project']['requires-python']}").specifier.contains(version)


def test_python_requirement_is_the_makefiles(root, project):
    minor = project["project"]["requires-python"].removeprefix(">=3.")
    assert f"v >= (3, {minor})" in (root / "Makefile").read_text()
    assert float(default_environment()["python_version"].split(".")[1]) >= int(minor)


def make(root, folder, *arguments):
    """Run make on a copy of the Makefile in an empty folder."""
    import shutil
    import subprocess

    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(root / name, folder)
    # Not as a part of the `make` that runs the tests: it would ask that one for its jobs.
    outside = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=outside, capture_output=True, text=True, check=False
    )


def python_that_says(folder, script):
    """Executable that stands in for a Python interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_old_python_gets_one_clear_line(root, tmp_path):
    import sys

    # The real interpreter, told that it is an old one.
    old = f'shift; exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 1); $1"'
    done = make(root, tmp_path, "setup", python_that_says(tmp_path, old))
    lines = [line for line in done.stderr.splitlines() if "***" not in line]
    assert done.returncode and len(lines) == 1, done.stderr
    assert "needs Python 3.11 or newer" in lines[0] and "is 3.9" in lines[0]
    assert not (tmp_path / ".venv").exists()


def test_missing_venv_gets_one_clear_line(root, tmp_path):
    broken = 'case "$2" in "import venv"*) exit 1;; *) exit 0;; esac'
    done = make(root, tmp_path, "setup", python_that_says(tmp_path, broken))
    lines = [line for line in done.stderr.splitlines() if "***" not in line]
    assert done.returncode and len(lines) == 1, done.stderr
    assert "no venv module" in lines[0] and "apt install python3-venv" in lines[0]


def test_make_help_lists_the_commands(root, tmp_path):
    output = make(root, tmp_path, "help").stdout
    assert "set up the environment" in output and "correctness tests" in output


def test_the_wheel_holds_the_library_and_its_command(root, tmp_path):
    """What `pip install .` installs, without the packages it would download."""
    import os
    import shutil
    import subprocess
    import sys
    import zipfile

    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    for name in ("src", "firmware"):
        (source / name).symlink_to(root / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    (entry,) = (tmp_path / "installed").glob("*.dist-info/entry_points.txt")
    assert "nonideal = nonideal.__main__:main" in entry.read_text()

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path / "installed",
            env=os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "No checkout" in python("-m", "nonideal", "list", "figure_4a")
    copy = "from nonideal.mcu.build import write_engine; print(*write_engine('engine'))"
    copied = python("-c", copy).split()
    inside = {str(path.relative_to(root / "firmware")) for path in (root / "firmware").rglob("*.?")}
    assert inside and inside <= {path.removeprefix("engine/") for path in copied}
    assert all((tmp_path / "installed/engine" / path).stat().st_size for path in inside)
