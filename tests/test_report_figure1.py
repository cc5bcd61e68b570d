"""Figure 1: what is drawn is what was measured, and a drawing leaves nothing changed behind it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from focuslab.errors import InputError
from focuslab.report.figures import style as style_module
from focuslab.report.figures.figure1 import (
    LENGTH_LABEL,
    SPEED_LABEL,
    STEP_LABEL,
    figure1,
    plot_speed_against_ideal,
    plot_time_against_length,
    write_figure1,
)
from focuslab.report.figures.shares import SHARE_LABEL, plot_kind_share
from focuslab.report.figures.style import KIND_COLORS, method_look, save, style
from focuslab.runs.method_spec import brief

DENSE = {10.0: 2.0, 20.0: 4.5, 40.0: 13.0, 80.0: 43.0, 160.0: 155.0}
SPEED = {
    "dense": 1.0,
    "naive": 0.62,
    "litefocus": 1.99,
    "litefocus:cross_weight=unbiased": 1.93,
    "litefocus:cross_fraction=0.02:cross_weight=unbiased": 2.2,
    "same-frequency": 2.14,
    "cross-frequency": 2.05,
    "tome": 1.4,
    "bound": 2.53,
}
TIMES = "\N{MULTIPLICATION SIGN}"


def row(seconds: float, method: str) -> dict:
    time = DENSE[seconds] / SPEED[method]
    bound = DENSE[seconds] / SPEED["bound"]
    sparse = method not in ("dense", "naive", "bound")
    own = {"self_attention": 0.2 + seconds / 400 / SPEED[method], "cross_attention": 0.1, "feed_forward": 0.1}
    own |= {"resnet": 0.05}
    paper = {kind: value * 0.9 for kind, value in own.items()}
    return {
        "seconds": seconds,
        "method": method,
        "step_seconds_median": time,
        "step_seconds_p10": time * 0.95,
        "step_seconds_p90": time * 1.1,
        "speedup_vs_dense": SPEED[method],
        "kept_pairs": 0.2125 if sparse else 1.0,
        "bound_seconds": bound if sparse else None,
        "ideal_seconds": bound + 0.2125 * (DENSE[seconds] - bound) if sparse else None,
        "kind_share": own | {"other": 1 - sum(own.values())},
        "kind_flop_share": paper | {"other": 1 - sum(paper.values())},
    }


def make(methods=("dense", "litefocus", "bound"), lengths=tuple(DENSE), without=()) -> dict:
    rows = [row(s, m) for s in lengths for m in methods if (s, m) not in without]
    return {"schema": "focuslab/profile/1", "rows": rows, "instrumented_over_plain": 1.004, "projected_steps": 200}


def new_axes():
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def drawn(ax, label: str) -> np.ndarray:
    """[points, 2] of the line of that label, whether it has error bars or not."""
    for container in ax.containers:
        if container.get_label() == label and hasattr(container, "lines"):
            return container.lines[0].get_xydata()
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line.get_xydata()


def names(ax) -> list[str]:
    """What the legend names."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def overlaps(boxes) -> list[tuple[int, int]]:
    return [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]


# (a)


def test_each_median_is_a_point_and_each_spread_a_bar():
    methods = ("dense", "naive", "litefocus", "tome", "bound")
    summary = make(methods, without={(80.0, "naive"), (160.0, "naive")})
    ax = plot_time_against_length(summary["rows"])
    for method in methods:
        own = [r for r in summary["rows"] if r["method"] == method]
        points = [(r["seconds"], r["step_seconds_median"]) for r in own]
        np.testing.assert_allclose(drawn(ax, method), points)
        (container,) = [c for c in ax.containers if c.get_label() == method]
        assert container.has_yerr == (method != "bound")
        if method != "bound":
            bars = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
            np.testing.assert_allclose(bars, [(r["step_seconds_p10"], r["step_seconds_p90"]) for r in own])
    assert len(ax.containers) == len(methods)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_units_ticks_and_speed_ups_of_the_longest_length():
    summary = make(("dense", "naive", "litefocus", "bound"), without={(160.0, "naive")})
    ax = plot_time_against_length(summary["rows"])
    assert ax.get_xlabel() == LENGTH_LABEL == "Audio length [s]"
    assert ax.get_ylabel() == STEP_LABEL and STEP_LABEL.endswith("[s]")
    assert list(ax.get_xticks()) == list(DENSE)
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "20", "40", "80", "160"]
    assert [label.get_text() for label in ax.get_yticklabels() if label.get_text()]
    assert names(ax) == ["dense", f"naive 0.62{TIMES} at 80 s", f"litefocus 1.99{TIMES}", f"bound 2.53{TIMES}"]


def test_the_bound_is_a_dashed_grey_line_without_markers():
    ax = plot_time_against_length(make()["rows"])
    (line,) = [c.lines[0] for c in ax.containers if c.get_label() == "bound"]
    red, green, blue = to_rgb(line.get_color())
    assert red == green == blue and line.get_marker() == "none" and line.get_linestyle() == "--"
    (method,) = [c.lines[0] for c in ax.containers if c.get_label() == "litefocus"]
    assert line.get_linewidth() < method.get_linewidth() and method.get_marker() == "s"


@pytest.mark.parametrize("plot", [plot_time_against_length, plot_speed_against_ideal])
@pytest.mark.parametrize(
    "summary",
    [
        make(("dense", "litefocus", "bound")),
        make(tuple(SPEED)),
        make(tuple(SPEED), lengths=(10.0,)),
        make(tuple(SPEED), without={(160.0, "dense"), (80.0, "naive"), (160.0, "naive"), (160.0, "tome")}),
    ],
    ids=["two", "all", "one length", "stopped"],
)
def test_the_legend_is_in_the_figure_and_covers_no_point(plot, summary):
    ax = plot(summary["rows"])
    ax.figure.draw_without_rendering()
    legend, page = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert page.x0 <= legend.x0 and legend.x1 <= page.x1 and page.y0 <= legend.y0 and legend.y1 <= page.y1
    assert ax.get_window_extent().height > 0.35 * page.height
    assert not legend.overlaps(ax.get_window_extent())


def test_one_length_and_nearly_equal_times_still_show_a_scale():
    rows = [row(10.0, "dense"), row(10.0, "dense") | {"method": "litefocus", "step_seconds_median": 1.999}]
    ax = plot_time_against_length(rows)
    low, high = ax.get_ylim()
    assert len([tick for tick in ax.get_yticks() if low <= tick <= high]) >= 2
    left, right = ax.get_xlim()
    assert left < 10 < right


def test_missing_percentiles_and_speed_ups_do_not_stop_a_drawing():
    rows = [r | {"step_seconds_p10": None, "step_seconds_p90": None, "speedup_vs_dense": None} for r in make()["rows"]]
    ax = plot_time_against_length(rows)
    assert names(ax) == ["dense", "litefocus", "bound"]
    bars = next(c.lines[2][0].get_segments() for c in ax.containers if c.get_label() == "litefocus")
    assert all(bar[0, 1] == bar[1, 1] for bar in bars)


# (b)


def stacks(ax, key: str) -> dict[str, list]:
    """Kind -> its bars, of the measured ("kind_share") or the theoretical ("kind_flop_share") stack."""
    return {c.get_label().split(": ")[1]: list(c) for c in ax.containers if c.get_label().startswith(f"{key}: ")}


def test_stacks_are_the_shares_and_end_at_100_percent():
    summary = make()
    ax = plot_kind_share(summary["rows"], "litefocus")
    own = [r for r in summary["rows"] if r["method"] == "litefocus"]
    for key, side in (("kind_share", -1), ("kind_flop_share", 1)):
        bars = stacks(ax, key)
        assert list(bars) == list(KIND_COLORS)
        top = np.zeros(len(own))
        for kind, patches in bars.items():
            heights = [patch.get_height() for patch in patches]
            np.testing.assert_allclose(heights, [100 * r[key][kind] for r in own])
            np.testing.assert_allclose([patch.get_y() for patch in patches], top)
            top += heights
            centres = [patch.get_x() + patch.get_width() / 2 for patch in patches]
            assert all((centre - i) * side > 0 and abs(centre - i) < 0.5 for i, centre in enumerate(centres))
            assert all(bool(patch.get_hatch()) == (side == 1) for patch in patches)
        np.testing.assert_allclose(top, 100)
    assert ax.get_xlabel() == LENGTH_LABEL and ax.get_ylabel() == SHARE_LABEL and SHARE_LABEL.endswith("[%]")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "20", "40", "80", "160"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[:5] == ["self-attention", "cross-attention", "feed-forward", "resnet", "other"]
    assert "measured" in legend[5] and "FLOPs" in legend[6]


def test_measured_bars_have_the_colour_of_their_kind():
    ax = plot_kind_share(make()["rows"], "dense", legend=False)
    for kind, patches in stacks(ax, "kind_share").items():
        assert {to_hex(patch.get_facecolor()) for patch in patches} == {KIND_COLORS[kind].lower()}
    assert ax.get_legend() is None


def test_a_length_that_was_not_measured_keeps_its_place():
    summary = make(without={(80.0, "litefocus")})
    for r in summary["rows"]:
        if r["seconds"] == 20.0:
            r["kind_share"] = None
        if r["seconds"] == 40.0:
            r["kind_flop_share"] = None
    ax = plot_kind_share(summary["rows"], "litefocus")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "20", "40", "80", "160"]
    measured = [round(p.get_x() + p.get_width() / 2, 6) for p in stacks(ax, "kind_share")["resnet"]]
    counted = [round(p.get_x() + p.get_width() / 2, 6) for p in stacks(ax, "kind_flop_share")["resnet"]]
    assert [round(x) for x in measured] == [0, 2, 4] and [round(x) for x in counted] == [0, 1, 4]
    said = {(round(text.get_position()[0], 6), text.get_text()) for text in ax.texts}
    assert said == {(0.8, "not measured"), (2.2, "not counted"), (3, "not measured")}


def test_an_unknown_kind_is_drawn_too():
    rows = make()["rows"]
    for r in rows:
        r["kind_share"] = {"self_attention": 0.6, "other": 0.3, "state_space": 0.1}
    ax = plot_kind_share(rows, "dense")
    assert [p.get_height() for p in stacks(ax, "kind_share")["state_space"]] == pytest.approx([10] * 5)
    assert "state-space" in [text.get_text() for text in ax.get_legend().get_texts()]


# speed-up beside ideal and bound


def test_speed_ideal_and_bound_are_ratios_to_dense():
    summary = make(("dense", "litefocus", "tome", "bound"))
    ax = plot_speed_against_ideal(summary["rows"])
    for method in ("litefocus", "tome"):
        own = [r for r in summary["rows"] if r["method"] == method]
        np.testing.assert_allclose(drawn(ax, method), [(r["seconds"], r["speedup_vs_dense"]) for r in own])
        ideal = [(r["seconds"], DENSE[r["seconds"]] / r["ideal_seconds"]) for r in own]
        np.testing.assert_allclose(drawn(ax, f"{method}, ideal"), ideal)
    np.testing.assert_allclose(drawn(ax, "bound"), [(s, SPEED["bound"]) for s in DENSE])  # once, not once a method
    assert ax.get_xlabel() == LENGTH_LABEL and ax.get_ylabel() == SPEED_LABEL and TIMES in SPEED_LABEL
    assert names(ax)[-2:] == ["bound", "ideal"]


def test_the_profiles_own_speed_up_is_drawn():
    rows = make()["rows"]
    for r in rows:
        r["speedup_vs_dense"] = 1.5 + r["seconds"] / 1000  # e.g. a median of ratios, not a ratio of medians
        if r["seconds"] == 160.0:
            r["bound_seconds"] = None
    ax = plot_speed_against_ideal(rows)
    np.testing.assert_allclose(drawn(ax, "litefocus"), [(s, 1.5 + s / 1000) for s in DENSE])
    assert names(ax) == [f"litefocus 1.66{TIMES}", "bound", "ideal"]


def test_speed_needs_an_ideal_and_dense():
    for methods in (("dense", "naive"), ("litefocus", "bound")):
        with pytest.raises(InputError, match="expected a sparse method, dense and bound"):
            plot_speed_against_ideal(make(methods)["rows"])


# all of them

PLOTS = [
    plot_time_against_length,
    plot_speed_against_ideal,
    lambda rows, ax=None: plot_kind_share(rows, "litefocus", ax=ax),
]


@pytest.mark.parametrize("plot", PLOTS)
def test_the_axes_given_are_the_axes_drawn_on(plot):
    ax = new_axes()
    assert plot(make()["rows"], ax=ax) is ax
    assert ax.has_data() and ax.figure.axes == [ax]
    own = plot(make()["rows"])
    assert own is not ax and own.figure is not ax.figure and isinstance(own.figure.canvas, FigureCanvasAgg)


@pytest.mark.parametrize("plot", PLOTS)
def test_no_row_is_an_input_error_of_one_line(plot):
    ax = new_axes()
    with pytest.raises(InputError, match="no measured row") as error:
        plot([], ax=ax)
    assert "\n" not in str(error.value) and not ax.has_data()


def test_an_absent_method_is_named_with_those_present():
    with pytest.raises(InputError, match="no row of 'tome', only of dense, litefocus, bound") as error:
        plot_kind_share(make()["rows"], "tome")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_a_panel_for_each_method_but_the_bound(count):
    methods = [method for method in SPEED if method != "bound"][:count]
    figure = figure1(make((*methods, "bound")))
    time, *panels = figure.axes
    assert time.get_ylabel() == STEP_LABEL
    assert [ax.get_title(loc="left") for ax in panels] == [brief(method) for method in methods]
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert overlaps(boxes) == []
    page = figure.bbox
    (legend,) = figure.subfigs[1].legends
    others = [legend.get_window_extent(), *(text.get_window_extent() for text in figure.texts)]
    for box in (*boxes, *others):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    assert not any(box.overlaps(other) for box in boxes for other in others)
    assert overlaps(others) == []


def test_dense_comes_first_whatever_the_order_of_the_rows():
    summary = make(("bound", "litefocus", "dense"))
    assert [ax.get_title(loc="left") for ax in figure1(summary).axes[1:]] == ["dense", "litefocus"]


def test_the_small_print_says_what_is_missing_in_two_lines():
    summary = make(("dense", "naive", "bound"), without={(160.0, "naive")})
    (note,) = [text.get_text() for text in figure1(summary).texts]
    assert "Not measured: naive at 160 s." in " ".join(note.split()) and len(note.splitlines()) <= 2
    assert "Not measured" not in " ".join(text.get_text() for text in figure1(make()).texts)


def test_nothing_but_the_bound_is_refused():
    with pytest.raises(InputError, match="nothing but the bound"):
        figure1(make(("bound",)))


# files


def test_a_figure_is_the_same_bytes_every_time(tmp_path):
    first = write_figure1(make(), tmp_path / "one", "how it was made")
    second = write_figure1(make(), tmp_path / "two", "how it was made")
    assert [path.name for path in first] == ["figure1.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["figure1.svg"]
    pictures = [save(figure1(make()), tmp_path / name, ("png",), "how")[0].read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1] and pictures[0].startswith(b"\x89PNG")


def test_the_svg_is_the_same_in_another_process(tmp_path):
    path = write_figure1(make(), tmp_path)[0]
    code = "import runpy, sys; t = runpy.run_path(sys.argv[1]); t['write_figure1'](t['make'](), sys.argv[2])"
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-c", code, __file__, other], check=True, env={"PYTHONHASHSEED": "7", "HOME": "/"})
    assert (other / "figure1.svg").read_bytes() == path.read_bytes()


def test_text_in_the_svg_is_text_without_a_date(tmp_path):
    path = write_figure1(make(), tmp_path, "made with care & <love>")[0]
    content = path.read_text()
    words = ["".join(e.itertext()) for e in ElementTree.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]
    for text in (LENGTH_LABEL, STEP_LABEL, SHARE_LABEL, f"litefocus 1.99{TIMES}"):
        assert text in words
    assert "made with care & <love>" not in words
    described = ElementTree.fromstring(content).iter("{http://purl.org/dc/elements/1.1/}description")
    assert [element.text for element in described] == ["made with care & <love>"]
    (png,) = save(figure1(make()), tmp_path / "picture", ("png",), "made with care")
    assert Image.open(png).text["Description"] == "made with care"
    assert not re.search(r"dc:date|Matplotlib v\d", content) and "sans-serif" in content


def test_nothing_is_written_for_a_wrong_summary(tmp_path):
    for wrong in ({"schema": "focuslab/attention/1"}, make() | {"rows": []}):
        with pytest.raises(InputError):
            write_figure1(wrong, tmp_path / "figures")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_files(tmp_path, monkeypatch):
    svg, png = save(figure1(make()), tmp_path / "figure1", ("svg", "png"))
    before = svg.read_bytes(), png.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(style_module.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_figure1(make(("dense",)), tmp_path)
    assert (svg.read_bytes(), png.read_bytes()) == before
    assert sorted(tmp_path.iterdir()) == sorted([svg, png])


def test_a_name_with_a_dot_keeps_it(tmp_path):
    paths = save(plot_time_against_length(make()["rows"]).figure, tmp_path / "deep" / "speed.v1")
    assert paths == [tmp_path / "deep" / "speed.v1.svg"]
    assert all(path.stat().st_size > 0 for path in paths)


# style


def test_looks_do_not_depend_on_what_else_is_shown():
    methods = [method for method in SPEED if ":" not in method]
    assert len({method_look(method).color for method in methods}) == len(methods)
    assert len({method_look(method).marker for method in methods}) == len(methods)
    assert method_look("litefocus:a=1:b=2") == method_look("litefocus:b=2:a=1") != method_look("litefocus")
    for subset in (("dense", "litefocus"), ("naive", "litefocus", "tome")):
        ax = plot_time_against_length(make(subset)["rows"])
        assert {c.get_label(): c.lines[0].get_color() for c in ax.containers} == {
            method: method_look(method).color for method in subset
        }


def test_kinds_get_lighter_from_the_bottom():
    luma = [np.dot(to_rgb(color), (0.299, 0.587, 0.114)) for color in KIND_COLORS.values()]
    assert np.diff(luma).min() > 0.1


@pytest.mark.filterwarnings("error")
def test_the_users_settings_are_kept_and_do_not_leak_in(tmp_path):
    plain = write_figure1(make(), tmp_path / "plain")[0].read_bytes()
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "black", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert write_figure1(make(), tmp_path / "loud")[0].read_bytes() == plain
        with pytest.raises(ZeroDivisionError), style():
            assert matplotlib.rcParams["font.size"] == 8
            _ = 1 / 0
        assert dict(matplotlib.rcParams) == before


def test_no_torch_and_no_pyplot_and_nothing_changed_by_importing():
    # Reading the backend's name would import pyplot, so it is left out.
    code = (
        "import sys, matplotlib; rc = matplotlib.rcParams; before = {k: rc[k] for k in rc if k != 'backend'};"
        "import focuslab.report.figures.figure1, focuslab.report.figures.style, focuslab.tables.profile;"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules;"
        "assert {k: rc[k] for k in before} == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_runs_from_json_alone(tmp_path):
    code = (
        "import json, sys; from focuslab.report.figures.figure1 import write_figure1;"
        "write_figure1(json.load(open(sys.argv[1])), sys.argv[2]);"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(make()))
    subprocess.run([sys.executable, "-c", code, summary, tmp_path], check=True)
    assert Path(tmp_path / "figure1.svg").exists()
