import re

import pandas as pd
import pytest
import yaml

from nonideal import page, scales

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 60"><rect width="9" height="6"/></svg>'
ROW = {
    "track": "crossbar", "figure": "Fig. 4a", "quantity": "error <ratio>", "unit": "%", "kind": "value",
    "published": 0.7, "tolerance": 0.1, "ours": 0.71234, "interval": 0.00512, "difference": 0.01,
    "verdict": "inside", "scale": "300 trials, 128 rows", "published_scale": "N = 128",
    "same_scale": True, "by_construction": False, "table": "crossbar/summary.parquet",
    "source": "somewhere",
}  # fmt: skip
CONFIG = {"run": "mine", "seed": 7}
MADE = {
    "results/mine/b.parquet": {"commit": "bbb", "time_utc": "2026-02-03T04:05:06+00:00"},
    "results/mine/a.parquet": {"commit": "aaa-dirty", "time_utc": "2026-01-02T03:04:05+00:00"},
    "results/mine/c.parquet": {"commit": "aaa", "time_utc": "2026-01-02T04:04:05+00:00"},
}


@pytest.fixture
def parts(root, tmp_path):
    report, results = tmp_path / "report", tmp_path / "results"
    (results / "figures").mkdir(parents=True)
    report.mkdir()
    for name in ("figure_4a", "figure_new"):
        (results / f"figures/{name}.svg").write_text(SVG)
        (report / f"{name}.rst").write_text("**Claim.** Seed {{ snakemake.config['seed'] }} of ``this``.")
    (report / "table_one.rst").write_text("Rows *of* something.")
    for name in ("page.html", "workflow.rst"):
        (report / name).write_text((root / "workflow/report" / name).read_text())
    return report, results


def made(parts, rows, **changes):
    report, results = parts
    run = page.Run(
        {
            "figure_4a": {"summary": "results/mine/crossbar/summary.parquet"},
            "figure_new": {"summary": "results/mine/new_study/summary.parquet"},
        },
        {"table_one": "results/mine/crossbar/one.parquet"},
        CONFIG | changes,
        MADE,
    )
    page.write(run, pd.DataFrame(rows), results=results, report=report, target=results / "index.html")
    return (results / "index.html").read_text()


def test_everything_shown_is_on_the_page(parts):
    html = made(parts, [ROW])
    assert re.findall(r'<figure id="([^"]+)">', html) == ["figure_4a", "figure_new"]
    assert '<section id="phase-change-memory-crossbars">' in html and '<section id="more">' in html
    assert html.count("data:image/svg+xml;base64,") == 2 and 'width="120" height="80"' in html
    assert html.count("Seed 7 of") == 2 and "<strong>Claim.</strong>" in html and "{{" not in html
    assert "results/mine/crossbar/one.parquet" in html and "Rows <em>of</em> something." in html
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)  # nothing from the network


def test_when_and_from_what_tables_were_made(parts):
    said = "from 2026-01-02 to 2026-02-03 at 2 commits, the last bbb; 1 with edits not committed then;"
    assert said in made(parts, [ROW])
    one = {"t": {"commit": "c0ffee", "time_utc": "2026-01-02T03:04:05+00:00"}}
    assert (
        page.made_text(one) == "Tables made on 2026-01-02 at commit c0ffee; provenance.json has each of them."
    )
    assert page.made_text({}) == ""
    one["t"]["processor"] = "Some CPU 9000"
    assert "at commit c0ffee on Some CPU 9000; " in page.made_text(one)
    assert "at commit c0ffee on Some CPU 9000; " in page.made_text(one | {"u": one["t"]})
    other = one["t"] | {"processor": "Another"}
    assert "at commit c0ffee on 2 kinds of processor; " in page.made_text(one | {"u": other})
    some = page.made_text(one | {"u": other, "v": other | {"processor": None}})
    assert ", 2 of 3 known to be on 2 kinds of processor; " in some


def test_a_claim_with_its_numbers_verdict_and_evidence(parts):
    html = made(parts, [ROW | {"kind": "at_most"}])
    row = html.split("<tbody>")[1].split("</tr>")[0]
    assert "error &lt;ratio&gt;" in row and "≤ 0.7 %" in row and "0.7123 ± 0.0051 %" in row
    assert 'data-verdict="reproduced"' in row and 'href="#figure_4a"' in row and "somewhere" in row


@pytest.mark.parametrize(
    ("ours", "interval", "shown"),
    [
        (-1.234, 0.12, "−1.23 ± 0.12 %"),
        (-3.0, float("nan"), "−3 %"),
        (-2.5e-5, float("nan"), "−2.50e−05 %"),
        (-0.0, float("nan"), "0 %"),
        (-0.05, float("nan"), "−0.05 %"),
    ],
)
def test_negative_numbers_have_a_minus_sign(parts, ours, interval, shown):
    values = {"ours": ours, "interval": interval, "kind": "range", "published": -2.0, "tolerance": 1.0}
    row = made(parts, [ROW | values | {"quantity": "2-bit"}]).split("<tbody>")[1].split("</tr>")[0]
    cells = re.findall(r'data-label="\w+">([^<]*)</td>', row)
    assert cells == ["−3 to −1 %", shown] and "2-bit" in row


def test_claims_without_a_value(parts):
    nothing = {"ours": float("nan"), "interval": float("nan"), "verdict": "not run", "scale": ""}
    other = ROW | nothing | {"quantity": "other", "figure": "Table 9"}
    html = made(parts, [ROW, other | {"verdict": "not compared"}])
    assert 'class="verdict not-compared"' in html and "<option>not compared</option>" in html
    html = made(parts, [ROW, other])
    first, second = html.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:2]
    assert "not-run" in second and "–" in second and "ours:" not in second and "Evidence" not in second
    assert "reproduced" in first and "<option>not run</option>" in html and "not reproduced" not in html


@pytest.mark.parametrize(
    ("ours", "published", "same"),
    [
        ("digits, resnet8, 20 chips", "CIFAR-10, ResNet-32, 100 runs", False),
        ("cifar10, resnet32, 25 chips", "CIFAR-10, ResNet-32, 100 runs", True),
        ("cifar10, resnet20, 25 chips", "CIFAR-10, ResNet-32", False),
        ("mnist, widths 64/64/64, 3 seeds", "MNIST 16x16, widths 64/64/64", True),
        ("mnist, widths 64/64/64, 3 seeds", "MNIST 16x16, widths 40/48/56, 20 epochs", False),
        ("digits, widths 64/64/64, 3 seeds", "MNIST 16x16, widths 64/64/64", False),
        ("emnist_letters, 3 seeds", "MNIST 16x16", False),
        ("digits, 3 seeds", "MNIST, spiking 784-128-10", False),
        ("mnist, 5 seeds; cifar10_dvs events, 5 folds", "CIFAR10-DVS, 10 frames of 48x48", True),
        ("mnist, 5 seeds; n_caltech101 events, 5 folds", "N-Caltech 101, 10 frames of 48x48", True),
        ("mnist, 5 seeds; nmnist events, 5 folds", "N-Caltech 101, 10 frames of 48x48", False),
        ("imagenet64, resnet18 of width 64", "ImageNet, ResNet-18", False),
        ("nmnist, 5 folds", "N-MNIST", True),
        ("mnist, 5 folds", "N-MNIST", False),
        ("cifar10", "CIFAR10-DVS, 10 frames", False),
        ("300 trials, 128 rows", "N = 128, 200-300 trials", True),
        ("300 trials, 128 rows", "N = 64, 1 trial", False),
        ("mnist, 5 seeds", "network not stated", False),
        ("mnist, widths 64/64/64 or widths 40/32/32", "MNIST, 256-64-64-64-10, 4-bit weights", True),
        ("mnist, widths 128, 5 seeds", "MNIST, spiking 784-128-10", True),
        ("mnist, widths 512, 5 seeds", "MNIST, spiking 784-128-10", False),
        ("mnist, widths 512/512, 5 seeds", "MNIST, spiking 784-512-10", False),
        ("mnist, widths 64/64/64, 3 seeds, 20 epochs", "MNIST 16x16, augmented, 60 epochs", False),
        ("mnist, widths 64/64/64, 3 seeds, augmented", "MNIST 16x16, augmented, 60 epochs", True),
        ("cifar10, resnet8", "CIFAR-10, 10-layer CNN", False),
        ("mnist, first layer", "iCE40, dense layer 784x128, design not stated", False),
        ("300 trials, 128 rows", "N = 128, 200 trials; mapping, base, time and slices not stated", False),
        ("300 trials, 128 rows", "N = 128, 200 trials; mapping and base not stated", False),
        ("300 trials, 128 rows", "N = 128, 200 trials; base and slices of this value not stated", True),
        ("mnist, 3 seeds, augmented", "MNIST, augmented; format not stated", False),
        ("mnist, 3 seeds, augmented", "MNIST 16x16, 30 epochs, not augmented", False),
        ("mnist, 3 seeds, not augmented", "MNIST 16x16, 30 epochs, not augmented", True),
        ("mnist, 3 seeds, not augmented", "MNIST 16x16, augmented", False),
        ("2000 trials, 128 rows", "N = 128; slices not stated: one case", False),
        ("mnist, 5 seeds", "", True),
    ],
)  # fmt: skip
def test_scales(ours, published, same):
    assert scales.same(ours, published) is same
    for verdict, shown in (
        ("outside", "not reproduced"),
        ("inside", "reproduced"),
        ("undecided", "undecided"),
    ):
        row = {"verdict": verdict, "same_scale": same, "by_construction": False}
        assert page.verdict_of(row) == (shown if same else "scale differs")
        said = page.verdict_of(row | {"by_construction": True})
        assert (said == "met by construction") == (verdict == "inside")
    for verdict in ("not run", "not compared"):
        row = {"verdict": verdict, "same_scale": False, "by_construction": True}
        assert page.verdict_of(row) == verdict


def test_scale_of_regularised_runs_has_all_epochs(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    regularised = config["regularised"]
    regularised["qat"]["epochs"], regularised["faults"]["epochs"] = 7, 2
    regularised["variability"]["epochs"] = 2
    assert scales.describe(config)["regularised"].endswith("seeds, 2 or 7 epochs")


def test_mistakes_are_named(parts):
    report, results = parts
    (results / "figures/figure_4a.svg").write_text("<svg/>")
    with pytest.raises(ValueError, match=r"figure_4a\.svg: no SVG with a view box"):
        made(parts, [ROW])
    (results / "figures/figure_4a.svg").write_text(SVG)
    (report / "figure_4a.rst").write_text("``unfinished")
    with pytest.raises(ValueError, match=r"figure_4a\.rst: not valid reStructuredText"):
        made(parts, [ROW])
    assert not (results / "index.html").exists()


def test_every_figure_of_the_workflow_has_a_heading(root):
    rules = "".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
    folders = re.findall(r'"figure_\w+"\]? ?[:=] ?\{\s*"\w+": "(\w+)/', rules)
    assert len(folders) > 20 and set(folders) <= set(page.TRACKS)
