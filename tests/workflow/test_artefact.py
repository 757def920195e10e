"""The whole artefact on tiny settings: what it makes, and when it makes it again."""

import contextlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from data_files import pictures, write_parquet
from snakemake_project import Project

from nonideal import tables
from nonideal.schemas.registry import declared

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[2]
# Every figure has a notebook and every table a caption: nothing else decides what the artefact must hold.
FIGURES = sorted(path.stem for path in (ROOT / "notebooks").glob("figure_*.ipynb"))
TABLES = [*sorted(path.stem for path in (ROOT / "workflow/report").glob("table_*.rst")), "compare_published"]
CROSSBAR = {
    "crossbar_trials",
    "crossbar_summary",
    "crossbar_options",
    "figure_4a",
    "figure_4b",
    "figure_4c",
    "figure_ternary",
}
FIRMWARE = {"firmware_format", "firmware_tables"}
END = {"compare_published_values", "provenance", "page", "paper", "manifest", "all"}


@contextlib.contextmanager
def edited(path, change):
    """Change a file for a while; give it back with its old content and time."""
    import os

    before, stat = path.read_text(), path.stat()
    path.write_text(change(before))
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def wrong_rounding(text):
    assert "+ half) >> shift" in text
    return text.replace("+ half) >> shift", "+ half + 1) >> shift")


def longer(text):
    config = yaml.safe_load(text)
    config["networks"]["float"]["epochs"] += 1
    return yaml.safe_dump(config)


def longer_teacher(text):
    config = yaml.safe_load(text)
    again = next(other for other in config["networks"]["others"] if other["name"] == "again")
    again["epochs"] += 1
    return yaml.safe_dump(config)


def comment(text):
    return text + "\n# edited\n"


def test_everything_is_there(tiny):
    for figure in FIGURES:
        for kind in ("svg", "pdf", "png", "csv", "html", "ipynb"):
            assert tiny.result(f"figures/{figure}.{kind}").stat().st_size > 100, (figure, kind)
    for table in TABLES:
        assert len(pd.read_csv(tiny.result(f"tables/{table}.csv"))), table
    assert tiny.result("paper.pdf").read_bytes().startswith(b"%PDF")


def test_people_are_shown_the_tables_that_machines_read(tiny):
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    sources = dict(re.findall(r'"(table_\w+|compare_published)"\]?(?::| =) "([\w/]+\.parquet)"', rules))
    assert sorted(sources) == sorted(TABLES)
    for table, source in sources.items():
        frame = tables.read(tiny.result(source), declared(tables.facts(tiny.result(source))["table"]))
        shown = tiny.result(f"tables/{table}.csv").read_text()
        assert shown == frame.to_csv(index=False, lineterminator="\n"), table
        assert f"<h1>{table}</h1>" in tiny.result(f"tables/{table}.html").read_text()


def read_by(tiny, other):
    """Tensors that the training of a further network read."""
    facts = tables.facts(tiny.result(f"networks/others/{other}/history.parquet"))
    return [path for path in facts["inputs"] if path.endswith(".pt")]


def test_other_architectures_are_trained_once(tiny):
    made = pd.read_csv(tiny.result("tables/table_networks_architectures.csv"))
    assert made[["name", "network", "architecture", "start", "epochs"]].fillna("").to_numpy().tolist() == [
        ["again", "continued", "resnet20", "continued", 5],
        ["continued", "continued", "resnet20", "float", 5],
        ["deeper", "labels", "resnet20", "", 5],
        ["float", "float", "resnet8", "", 4],
        ["schooled", "taught", "resnet20", "float", 5],
        ["taught", "taught", "resnet20", "", 5],
        ["wide", "teacher", "resnet8-w4", "", 4],
    ]
    assert made["mirrored_accuracy"].between(0, 1).all()
    for name, start in (("again", "others/continued"), ("continued", "float")):
        assert read_by(tiny, name) == [f"results/tiny/networks/{start}/network.pt"]
    lessons = "results/tiny/networks/teachers/lessons.pt"
    assert sorted(read_by(tiny, "schooled")) == ["results/tiny/networks/float/network.pt", lessons]
    assert read_by(tiny, "taught") == [lessons]
    others = {path.name for path in tiny.result("networks/others").iterdir()}
    assert others == {"again", "continued", "deeper", "schooled", "taught"}
    assert {path.name for path in tiny.result("networks/teachers").iterdir()} == {"lessons.pt", "wide"}
    with edited(tiny.folder / "tiny.yaml", longer):  # teachers do not depend on it, what they say does
        due = tiny.due("results/tiny/networks/others/taught/network.pt")
        assert due == {"train_network", "teacher_lessons", "train_other"}
        assert tiny.due("results/tiny/networks/others/deeper/network.pt") == set()
    with edited(tiny.folder / "tiny.yaml", longer_teacher):
        due = tiny.due("results/tiny/networks/others/taught/network.pt")
        assert due == {"teacher_lessons", "train_other"}


def test_trials_have_the_promised_columns_and_rows(tiny):
    parts = sorted(tiny.result("crossbar/trials").glob("part-*.parquet"))
    assert len(parts) == 2
    trials = pd.concat(map(pd.read_parquet, parts))
    assert list(trials) == ["figure", "mapping", "weights", "base", "n_slices", "time_s", "trial", "eta"]
    summary = pd.read_parquet(tiny.result("crossbar/summary.parquet"))
    assert {"mean", "std", "sem", "trials"} <= set(summary)
    assert (summary["trials"] == 12).all() and len(trials) == 12 * len(summary)
    one = summary.query("figure == '4a' and n_slices == 1")
    assert one.groupby("time_s")["mean"].nunique().eq(1).all()  # all mappings agree at one slice
    assert set(trials["weights"]) == {"gaussian", "ternary"}


def test_published_values_are_looked_up_in_columns_that_exist(tiny):
    published = pd.read_csv(tiny.folder / "config/published.csv", dtype=str, keep_default_na=False)
    for path, lines in published[published["table"] != ""].groupby("table"):
        frame = pd.read_parquet(tiny.result(path))
        for line in lines.itertuples():
            for query in filter(None, (line.where, line.over)):
                frame.query(query)  # an unknown column raises, here and in arithmetic on columns
            assert len(frame.eval(line.value)) == len(frame), (path, line.quantity)


def test_second_run_has_nothing_to_do(tiny):
    assert tiny.due() == set()


def test_editing_the_crossbar_makes_exactly_its_dependents_due(tiny):
    with edited(tiny.folder / "src/nonideal/pcm/kernel.py", comment):
        assert tiny.due() == CROSSBAR | END
    assert tiny.due() == set()


def test_editing_training_leaves_the_crossbar_alone(tiny):
    with edited(tiny.folder / "src/nonideal/training/loop.py", comment):
        due = tiny.due()
    trained = {"train", "train_cnn", "train_network", "spiking_float", "regularised_float", "capacity"}
    assert due >= trained | FIRMWARE | END | {"figure_bits", "figure_5a", "figure_faults", "fpga_table"}
    assert not due & CROSSBAR


def test_the_program_for_a_board_has_the_fast_kernel(tiny):
    for folder in ("fast", "board"):
        assert "ni_fast_ternary" in tiny.result(f"firmware/ternary/{folder}/model.h").read_text()


def test_editing_a_kernel_in_c_makes_the_firmware_due(tiny):
    with edited(tiny.folder / "firmware/src/fast_ternary.c", lambda text: text + "\n/* edited */\n"):
        assert tiny.due("firmware") == {*FIRMWARE, "firmware"}


def test_a_broken_kernel_stops_the_workflow(tiny, tmp_path):
    broken = tiny.copy(tmp_path / "broken")  # mending the finished run would take half a minute
    assert broken.due("firmware") == set()
    kernel = broken.folder / "firmware/src/network.c"
    kernel.write_text(wrong_rounding(kernel.read_text()))
    assert "MismatchError" in broken.snakemake("firmware", fails=True)
    assert not list(broken.result("firmware").glob("*/kernels.parquet"))


def test_editing_what_only_draws_redraws_and_names_the_new_code(tiny):
    with edited(tiny.folder / "src/nonideal/plotting/labels.py", comment):
        due = tiny.due()
    assert due == {*FIGURES, "provenance", "page", "paper", "manifest", "all"}


def test_editing_a_notebook_redraws_that_figure_only(tiny):
    with edited(tiny.folder / "notebooks/figure_4b.ipynb", lambda text: text.replace("slices", "Slices", 1)):
        assert tiny.due("figure_4b") == {"figure_4b"}
        assert tiny.due("figure_4a") == set()


def test_changing_a_parameter_makes_its_rule_due(tiny):
    assert "crossbar_trials" in tiny.due("crossbar", options=("--config", "seed=5"))
    assert tiny.due("crossbar", options=("--config", "seed=20220")) == set()


def test_provenance(tiny):
    facts = json.loads(tiny.result("provenance.json").read_text())
    assert facts["run"] == "tiny" and facts["config"]["crossbar"]["trials"] == 12
    assert {"commit", "code_sha256", "config_sha256", "packages", "machine", "time_utc", "seed"} <= set(facts)
    for path, entry in facts["tables"].items():
        frame = tables.read(tiny.folder / path, declared(entry["table"]))
        assert tables.content_hash(frame) == entry["content_sha256"]


def test_pages_open_offline(tiny):
    pages = [*tiny.result("figures").glob("*.html"), *tiny.result("tables").glob("*.html")]
    assert len(pages) == len(FIGURES) + len(TABLES)
    loads = re.compile(r"""(?:src=|<link[^>]*href=|import\(|url\()["']?(?:https?:)?//""")
    for page in pages:
        assert not loads.search(page.read_text()), page


def test_executed_notebooks_hold_their_results_and_the_sources_none(tiny):
    for figure in FIGURES:
        executed = nbformat.read(tiny.result(f"figures/{figure}.ipynb"), 4)
        assert any(cell.get("outputs") for cell in executed.cells), figure
        assert str(tiny.folder) not in tiny.result(f"figures/{figure}.ipynb").read_text()
        source = nbformat.read(tiny.folder / f"notebooks/{figure}.ipynb", 4)
        assert not any(cell.get("outputs") for cell in source.cells), figure


def test_logs_are_written(tiny):
    text = tiny.result("logs/crossbar_trials/0000.log").read_text()
    assert "trial" in text  # the progress bar
    assert "epoch" in tiny.result("logs/train/ternary.log").read_text()


def test_report_holds_every_figure_table_and_caption(tiny):
    tiny.snakemake(options=("--report", "results/tiny/report.zip"))
    with zipfile.ZipFile(tiny.result("report.zip")) as archive:
        names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
        page = archive.read("report/report.html").decode()
    for figure in FIGURES:
        assert {f"{figure}.svg", f"{figure}.html"} <= set(names), figure
    for table in TABLES:
        assert f"{table}.html" in names, table
    assert {"paper.pdf", "provenance.json"} <= set(names)
    assert page.count("Published claim") >= len(FIGURES)
    assert "12 Monte Carlo trials" in page  # a caption, filled in from the configuration


def test_where_a_data_set_lies_does_not_matter(root, tmp_path):
    project = Project(root, tmp_path / "project")
    images, labels = pictures(20, 3, 32, 10)
    for part in ("train", "test"):
        write_parquet(tmp_path / f"first/cifar10/{part}-00000-of-00001.parquet", images, labels)
    target = "resources/data/cifar10/manifest.json"
    first = {"NONIDEAL_DATA": str(tmp_path / "first")}
    project.snakemake(target, environment=first)
    before = (project.folder / target).read_text()

    shutil.copytree(tmp_path / "first", tmp_path / "second")
    assert project.due(target, environment={"NONIDEAL_DATA": str(tmp_path / "second")}) == set()
    assert project.due(target, environment={"NONIDEAL_DATA": "../second"}) == set()
    assert project.due(target) == set()  # nowhere to be found, and already there
    assert (project.folder / target).read_text() == before

    write_parquet(tmp_path / "second/cifar10/test-00000-of-00001.parquet", images[:10], labels[:10])
    assert project.due(target, environment={"NONIDEAL_DATA": "../second"}) == {"dataset"}
