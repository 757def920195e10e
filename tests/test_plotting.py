"""The style of the figures: tellable apart, legible, and the same bytes every time."""

import itertools
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.text import Text
from scipy.optimize import minimize

from nonideal import plotting, rng
from nonideal.plotting.looks import luminance
from nonideal.schemas.regularised import FAULT_MODES as MODES

FLASH = ("active+passive", "trained", "nearest", "unaware")
GROUPS = {
    "mappings": plotting.MAPPINGS,
    "methods": plotting.METHODS,
    "formats": plotting.FORMATS,
    "flash": {name: plotting.look(name) for name in FLASH},
    "stuck": {name: plotting.look(name) for name in MODES},
}


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        mpl.use("Agg")
        plotting.use_style()
        yield
        plt.close("all")


# Severe protanopia and deuteranopia: Machado, Oliveira and Fernandes, "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15 (2009), table 1, severity 1.0; for linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lightness(color, vision):
    """CIE L*, 0 to 100, of a colour as seen with a kind of vision."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = np.array([0.2126, 0.7152, 0.0722]) @ np.clip(np.array(vision) @ linear, 0, 1)
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(
    ("group", "least"), [("mappings", 12), ("methods", 15), ("formats", 5), ("flash", 5)]
)
def test_looks_of_a_group_differ_in_lightness_for_everyone(group, least, vision):
    tones = sorted(lightness(look.color, VISIONS[vision]) for look in GROUPS[group].values())
    assert np.diff(tones).min() > least


@pytest.mark.parametrize("group", GROUPS)
def test_looks_of_a_group_differ_without_colour(group):
    cues = [(str(look.linestyle), look.marker) for look in GROUPS[group].values()]
    assert len(set(cues)) == len(cues)
    assert len({look.label for look in GROUPS[group].values()}) == len(cues)


def test_every_known_name_has_a_look():
    from nonideal.quantize.formats import FORMATS
    from nonideal.schemas import crossbar, mcu, regularised

    mitigations = {*regularised.FAULT_MODES, *regularised.VARIABILITY_METHODS, *mcu.FLASH_METHODS}
    assert set(plotting.LOOKS) == {*crossbar.MAPPINGS, "float", "qat", "ptq", *FORMATS, *mitigations}
    assert plotting.look("qat") is plotting.METHODS["qat"]
    assert all(look.label == name for name, look in plotting.FORMATS.items() if name != "float")
    with pytest.raises(ValueError, match="no look for 'equal-fill'; there is one for digital"):
        plotting.look("equal-fill")


def test_ink_is_legible_and_changes_no_more_than_needed():
    for look in plotting.LOOKS.values():
        assert 1.05 / (luminance(plotting.ink(look.color)) + 0.05) >= 4.5
    assert plotting.ink("#004488") == "#004488"
    assert (
        plotting.ink("#ffffff") == "#757575"
    )  # the lightest grey of contrast 4.5 in steps of 2 % is near #767676


@example(labels=[(4.0, 1.00001)], low=3.0, room=1.00001)  # fits exactly, but for rounding
@given(
    labels=st.lists(st.tuples(st.floats(0, 100), st.floats(1, 20)), min_size=1, max_size=12),
    low=st.floats(-20, 20),
    room=st.floats(0, 200),
)
def test_spread_keeps_order_distance_and_bounds(labels, low, room):
    wanted, sizes = map(np.array, zip(*labels, strict=True))
    high = low + room
    centres = plotting.spread(wanted, sizes, low, high)
    order = np.argsort(wanted, kind="stable")
    lower, upper = (centres - sizes / 2)[order], (centres + sizes / 2)[order]
    assert (lower[1:] - upper[:-1] > -1e-9).all()
    if sizes.sum() <= room:
        assert lower[0] > low - 1e-9
        assert upper[-1] < high + 1e-9


@pytest.mark.parametrize("trial", range(20))
def test_spread_moves_as_little_as_possible(trial):
    generator = rng.stream(0, "spread", trial)
    n = int(generator.integers(2, 7))
    wanted, sizes = np.sort(generator.uniform(0, 40, n)), generator.uniform(3, 8, n)
    low, high = 0.0, 60.0
    apart = (sizes[1:] + sizes[:-1]) / 2
    reference = minimize(
        lambda c: ((c - wanted) ** 2).sum(),
        low + np.cumsum(sizes),
        method="SLSQP",
        constraints=[
            {"type": "ineq", "fun": lambda c: np.diff(c) - apart},
            {"type": "ineq", "fun": lambda c: c[0] - sizes[0] / 2 - low},
            {"type": "ineq", "fun": lambda c: high - c[-1] - sizes[-1] / 2},
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert reference.success
    np.testing.assert_allclose(plotting.spread(wanted, sizes, low, high), reference.x, atol=1e-4)


def lines(ax, ends, scale="linear"):
    for end, look in zip(ends, plotting.FORMATS.values(), strict=False):
        ax.plot([1, 2, 3], [1, 1.5, end], label=look.label, **look.line)
    ax.set_yscale(scale)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("trial", range(5))
def test_labels_do_not_overlap_and_stay_in_the_figure(scale, trial):
    figure, ax = plt.subplots(figsize=(plotting.COLUMN_IN, 2.5))
    ends = rng.stream(0, "labels", trial).uniform(1, 4, 9) ** 2
    ends[3] = ends[4]  # the worst case
    lines(ax, ends, scale)
    notes = plotting.label_lines(ax)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(note) for note in notes]
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
    heights = [box.y0 for box in boxes]
    distinct = [k for k in range(9) if k != 4]
    assert np.argsort(np.array(heights)[distinct]).tolist() == np.argsort(ends[distinct]).tolist()


def test_labels_with_room_stand_at_their_lines_without_leader():
    figure, ax = plt.subplots()
    lines(ax, [1, 5, 9])
    ax.set_ylim(-5, 15)
    notes = plotting.label_lines(ax, labels=["a", "b", "two words\nand more"], wrap=9)
    figure.draw_without_rendering()
    for note, end in zip(notes, (1, 5, 9), strict=True):
        box = Text.get_window_extent(note)
        target = ax.transData.transform((3, end))
        assert (box.y0 + box.y1) / 2 == pytest.approx(target[1], abs=2)
        assert box.x0 > target[0]
        assert not note.arrow_patch.get_visible()


def test_moved_labels_have_leaders():
    _, ax = plt.subplots()
    lines(ax, [5, 5.01, 1])
    ax.set_ylim(-5, 15)
    assert [note.arrow_patch.get_visible() for note in plotting.label_lines(ax)] == [True, True, False]


def test_labels_stand_at_the_last_point_that_shows():
    _, ax = plt.subplots()
    (line,) = ax.plot([1, 2, 3, 4], [1, 2, np.nan, 4], label="a")
    ax.set_xlim(0, 3.5)
    assert plotting.label_lines(ax)[0].xy == (2, 2)
    ax.set_xlim(10, 11)
    with pytest.raises(ValueError, match="no point within the limits"):
        plotting.label_lines(ax, [line])
    with pytest.raises(ValueError, match="got 2 for 1 lines"):
        plotting.label_lines(ax, [line], ["a", "b"])


def crowd(trial, scale="linear"):
    """Points with bars, most of them in one corner, two on nearly one spot, and their labels."""
    figure, ax = plt.subplots(figsize=(plotting.PAGE_IN / 2, 3))
    names = list(plotting.FORMATS)[1:]
    y, x = rng.stream(0, "crowd", trial).uniform(0.3, 0.7, (2, len(names)))
    x[3:], y[3:] = 0.7 + 0.4 * (x[3:] - 0.5), 0.8 + 0.2 * (y[3:] - 0.5)
    x[4], y[4] = x[3] + 0.001, y[3] - 0.002
    ax.set(xscale=scale, yscale=scale, xlim=(0.1, 0.95), ylim=(0.1, 0.95))
    looks = [plotting.look(name) for name in names]
    for place, look in zip(zip(x, y, strict=True), looks, strict=True):
        plotting.bars(ax, place[0], place[1] - 0.05, place[1] + 0.05, color=look.color)
        ax.plot(*place, color=look.color, marker=look.marker)
    ax.annotate("beware", (0.42, 0.8), fontsize=7)
    notes = plotting.label_points(ax, x, y, names, [look.color for look in looks])
    figure.draw_without_rendering()
    return figure, ax, ax.transData.transform(np.column_stack([x, y])), notes


def leader_of(note):
    return None if note.arrow_patch is None else note.arrow_patch.get_path().vertices[[0, -1]]


@pytest.mark.parametrize("scale", ["linear", "logit"])
@pytest.mark.parametrize("trial", range(4))
def test_labels_of_points_touch_neither_each_other_nor_markers_nor_text(scale, trial):
    _, ax, points, notes = crowd(trial, scale)
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert len(boxes) == len(points) + 1
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for box in boxes[1:]:
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
        assert not any(box.contains(*point) for point in points)
    assert [note.get_text() for note in notes] == list(plotting.FORMATS)[1:]


def sides(a, b, c):
    return np.sign((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0])


@pytest.mark.parametrize("trial", range(4))
def test_leaders_join_points_with_their_labels_and_do_not_cross(trial):
    figure, _, points, notes = crowd(trial)
    leaders = [leader_of(note) for note in notes]
    some = 0
    for note, point, leader in zip(notes, points, leaders, strict=True):
        box = Text.get_window_extent(note)
        far = np.hypot(*(point - np.clip(point, box.min, box.max))) * 72 / figure.dpi
        assert far < 10 or leader is not None
        if leader is not None:
            some += 1
            np.testing.assert_allclose(leader[1], point, atol=1)
            assert np.hypot(*(leader[0] - np.clip(leader[0], box.min, box.max))) * 72 / figure.dpi < 4
    assert some >= 1
    drawn = [leader for leader in leaders if leader is not None]
    for (a, b), (c, d) in itertools.combinations(drawn, 2):
        assert sides(a, b, c) == sides(a, b, d) or sides(c, d, a) == sides(c, d, b)


def test_a_label_with_room_stands_at_its_point_without_leader():
    figure, ax = plt.subplots()
    ax.plot([1, 2], [1, 2], marker="o", linestyle="none")
    ax.set(xlim=(0, 3), ylim=(0, 3))
    notes = plotting.label_points(ax, [1, 2], [1, 2], "ab", ["#004488"] * 2)
    figure.draw_without_rendering()
    for note, x in zip(notes, (1, 2), strict=True):
        box = Text.get_window_extent(note)
        point = ax.transData.transform((x, x))
        assert np.hypot(*(point - np.clip(point, box.min, box.max))) * 72 / figure.dpi < 10
        assert note.arrow_patch is None
    with pytest.raises(ValueError, match="got 2, 2, 1 and 2"):
        plotting.label_points(ax, [1, 2], [1, 2], ["a"], ["#004488"] * 2)


def test_labels_of_points_keep_off_lines_where_there_is_room():
    figure, ax = plt.subplots()
    ax.plot([0, 4], [1, 1], linestyle="-")
    ax.plot([1], [1], marker="o", linestyle="none")
    ax.set(xlim=(0, 4), ylim=(0, 2))
    (note,) = plotting.label_points(ax, [1], [1], ["name"], ["#004488"])
    figure.draw_without_rendering()
    box, line = Text.get_window_extent(note), ax.transData.transform((1, 1))[1]
    assert box.y1 < line or line < box.y0


def test_labels_of_points_keep_off_markers():
    figure, ax = plt.subplots()
    x = [1, 1.5, 2, 2.5, 3]
    ax.plot(x, [1] * 5, marker="o", linestyle="none")
    ax.set(xlim=(0, 4), ylim=(0, 2))
    (note,) = plotting.label_points(ax, [2], [1], ["a long name"], ["#004488"])
    figure.draw_without_rendering()
    box = Text.get_window_extent(note)
    for point in ax.transData.transform([(place, 1) for place in x]):
        assert np.hypot(*(point - np.clip(point, box.min, box.max))) * 72 / figure.dpi > 5


def time_names(width, low=20, high=31536000):
    figure, ax = plt.subplots(figsize=(width, 2))
    ax.plot([low, high], [0, 1])
    plotting.time_axis(ax)
    figure.draw_without_rendering()
    shown = [label for label in ax.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in shown]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    return [label.get_text() for label in shown]


def test_time_axis_names_times_without_overlap():
    assert time_names(7) == ["20 s", "1 h", "1 day", "1 month", "1 year"]
    assert time_names(2.5) == ["20\ns", "1\nh", "1\nday", "1\nmonth", "1\nyear"]
    assert time_names(1.6) == ["20\ns", "1\nh", "1\nday", "1\nyear"]
    assert time_names(7, 60, 1e6) == ["1 h", "1 day"]


def test_band_is_one_half_width_to_either_side():
    _, ax = plt.subplots()
    x, mean, half = np.arange(3), np.array([1.0, 2, 4]), np.array([0.1, 0, 0.5])
    line = plotting.band(ax, x, mean, half, style=plotting.look("qat"), linewidth=3)
    np.testing.assert_array_equal(line.get_ydata(), mean)
    assert (line.get_label(), line.get_linewidth()) == ("quantisation-aware training", 3)
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices.round(9)}
    assert corners == {(k, mean[k] + sign * half[k]) for k in x for sign in (-1, 1)}


@pytest.mark.parametrize("along", ["x", "y"])
def test_bars_end_in_caps_or_where_they_are_cut_in_arrowheads(along):
    _, ax = plt.subplots()
    low, high = [0.2, 0.1, np.nan, -1, 0.5], [0.3, 2, np.nan, 2, np.nan]
    plotting.bars(ax, range(5), low, high, color="#004488", within=(0, 1), along=along)
    column, other = (1, 0) if along == "y" else (0, 1)
    drawn = {float(ends[0, other]): ends[:, column].tolist() for ends in ax.collections[0].get_segments()}
    assert drawn == {0: [0.2, 0.3], 1: [0.1, 1], 3: [0, 1]}
    ends = {}
    for line in ax.get_lines():
        for place in line.get_xydata():
            ends[float(place[other]), float(place[column])] = line.get_marker()
    cap, down, up = ("_", CARETDOWN, CARETUP) if along == "y" else ("|", CARETLEFT, CARETRIGHT)
    assert ends == {(0, 0.2): cap, (0, 0.3): cap, (1, 0.1): cap, (1, 1): up, (3, 0): down, (3, 1): up}
    with pytest.raises(ValueError, match="along must be 'x' or 'y', got 'z'"):
        plotting.bars(ax, 0, 0, 1, color="#004488", along="z")


def test_titles_say_how_long_after_programming():
    assert plotting.since_programming(20.0) == "20 s after programming"
    assert plotting.since_programming(2592000.0) == "1 month after programming"
    assert plotting.since_programming(7.5) == "7.5 s after programming"


@pytest.mark.parametrize("half_width", [[0.1, -0.1], [0.1], 0.1])
def test_impossible_bands_are_refused(half_width):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="half_width must"):
        plotting.band(ax, [1, 2], [1, 2], half_width, style=plotting.look("qat"))


SAVE = """
import sys, matplotlib
matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt
from nonideal import plotting
plotting.use_style()
figure, ax = plt.subplots()
plotting.band(ax, [20, 3600, 31536000], [1, 2, 3], [0.1, 0.2, 0.3], style=plotting.look("max_fill"))
plotting.time_axis(ax)
ax.set_ylabel("error $\\\\eta$")
plotting.label_lines(ax)
plotting.save(figure, sys.argv[1], pd.DataFrame({"x": [0.1, 1 / 3], "name": ["a", "b"]}))
"""


def test_files_do_not_depend_on_when_and_where_they_are_saved(tmp_path):
    for name, salt in (("a", "1"), ("b", "2")):
        # Another process with another hash seed, and for the second another day.
        environment = os.environ | {
            "PYTHONHASHSEED": salt,
            "MPLCONFIGDIR": str(tmp_path),
            "SOURCE_DATE_EPOCH": salt * 9,
        }
        command = [sys.executable, "-c", SAVE, str(tmp_path / f"figure.{name}")]
        subprocess.run(command, env=environment, check=True)
    for kind in ("svg", "pdf", "png", "csv"):
        first, second = ((tmp_path / f"figure.{name}.{kind}").read_bytes() for name in "ab")
        assert first == second, kind
        assert first
    assert (tmp_path / "figure.a.csv").read_text() == "x,name\n0.1,a\n0.3333333333333333,b\n"
    svg = (tmp_path / "figure.a.svg").read_text()
    assert "<text" not in svg  # outlines: no font is needed to read it
    assert "dc:date" not in svg
    pdf = (tmp_path / "figure.a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"CreationDate" not in pdf


def test_two_saves_of_one_figure_are_identical_and_whole(tmp_path):
    figure, ax = plt.subplots()
    lines(ax, [1, 2, 3])
    plotting.label_lines(ax)
    table = pd.DataFrame({"x": [1]})
    first = plotting.save(figure, tmp_path / "new/figure", table)
    before = [path.read_bytes() for path in first]
    assert plotting.save(figure, tmp_path / "new/figure", table) == first
    assert [path.read_bytes() for path in first] == before
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "figure.csv",
        "figure.pdf",
        "figure.png",
        "figure.svg",
    ]
    assert plt.imread(tmp_path / "new/figure.png").shape[:2] == (500, 680)  # 2.5 x 3.4 in at 200 dpi


def test_a_failing_save_leaves_the_former_file(tmp_path, monkeypatch):
    figure, _ = plt.subplots()
    plotting.save(figure, tmp_path / "figure")
    before = (tmp_path / "figure.svg").read_bytes()

    def broken(path, **options):
        path.write_text("half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(RuntimeError, match="disk full"):
        plotting.save(figure, tmp_path / "figure")
    assert (tmp_path / "figure.svg").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_error_axis_has_plain_ticks_and_holds_every_error():
    figure, ax = plt.subplots()
    ax.plot([1, 2], [0.05, 0.12])
    plotting.error_axis(ax, [0.05, 0.12])
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert 0.04 < low < 0.05 and 0.12 < high < 0.15
    figure.canvas.draw()
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert {"0.06", "0.08", "0.1"} <= set(names) and not any("10^" in name for name in names)
    plt.close(figure)
