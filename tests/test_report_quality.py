"""Tables and figures of an evaluation: what is printed and drawn is what was measured."""

import csv
import io
import math
import re
import subprocess
import sys

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from focuslab.errors import InputError
from focuslab.report.figures.quality import looks_of, plot_speed_against_quality, quality_figure
from focuslab.report.figures.style import method_look
from focuslab.tables.quality import quality_csv, quality_tables
from focuslab.tables.quality_rows import evaluation_rows, main_metrics, metrics_of
from focuslab.tables.table import Table, numbers, words
from focuslab.tables.text import WIDTH, in_latex, in_markdown, in_terminal, in_tex
from tests.evaluation_records import PAPERS_METRICS, VALUES, info, row, summary
from tests.evaluation_records import about as described
from tests.test_analyses import analysis

with analysis("06_table3"):
    from findings import length_name, write_quality_figures


def quality_table(summary):
    return in_terminal(quality_tables(summary))


def quality_markdown(summary, info=None):
    return in_markdown(quality_tables(summary, info))


def quality_latex(summary):
    return in_latex(quality_tables(summary))


def cells(markdown: str, number: int = 0) -> list[dict[str, str]]:
    """The rows of the nth table of a markdown text, by head."""
    tables = re.findall(r"(?:^\|.*\n?)+", markdown, flags=re.M)
    lines = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in tables[number].splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_each_cell_is_the_number_it_came_from():
    found = cells(quality_markdown(summary()))
    assert [(c["length [s]"], c["method"]) for c in found] == [
        (s, f"`{m}`") for s in ("10", "40") for m in ("dense", "litefocus", "tome")
    ]
    lite = found[1]
    assert lite["Frechet clap (low..high)"] == "6.00 (5.70..6.30)"
    assert lite["CLAP score clap (low..high) [%]"] == "18.0 (17.1..18.9)"
    assert lite["KL ast (low..high)"] == "1.90 (1.80..2.00)" or lite["KL ast (low..high)"].startswith("1.90 (1.8")
    assert (lite["speed-up vs dense"], lite["clips scored"]) == ("1.50x", "96")
    assert found[4]["kernel clap (low..high)"].startswith("0.310 (")


def test_what_rounds_to_nothing_has_no_sign():
    found = summary()
    found["rows"][0]["metrics"]["kernel"] |= {"low": -1e-19}
    assert cells(quality_markdown(found))[0]["kernel clap (low..high)"] == "0.400 (0.000..0.420)"


def test_significant_paired_differences_say_which_way_is_better():
    found = {(c["length [s]"], c["method"]): c for c in cells(quality_markdown(summary()), 1)}
    assert set(found) == {(s, f"`{m}`") for s in ("10", "40") for m in ("litefocus", "tome")}
    lite, tome = found["10", "`litefocus`"], found["10", "`tome`"]
    assert lite["Frechet (low..high)"] == "-1.00 (-1.15..-0.85) +"
    assert lite["CLAP score (low..high) [% points]"] == "+2.00 (+1.55..+2.45) +"
    assert tome["Frechet (low..high)"].endswith("-") and tome["CLAP score (low..high) [% points]"].endswith("-")
    unsure = cells(quality_markdown(summary(width=0.5)), 1)
    assert all(not c["Frechet (low..high)"].endswith((" +", " -")) for c in unsure if c["method"] == "`litefocus`")


def test_distances_to_dense_have_a_table_and_footnotes_come_last():
    text = quality_markdown(summary())
    beside = cells(text, 2)
    assert beside[1]["log-mel L1 (low..high)"] == "0.310 (0.294..0.326)" and beside[0]["log-mel L1 (low..high)"] == "-"
    assert text.rstrip().endswith("- 1 sound was silent & left out.")
    assert "by tiny (the text\\_encoder of the pipeline), lower is better" in text


def test_clips_that_were_left_out_are_counted_in_their_row():
    found = summary()
    found["rows"][1]["excluded"] = {"nan": 1, "silent": 2}
    assert cells(quality_markdown(found))[1]["clips scored"] == "96 (-3)"


def test_the_papers_number_stands_beside_the_same_protocol():
    same = cells(quality_markdown(summary(**PAPERS_METRICS), info()))
    assert [c["paper clap"] for c in same] == ["2.89", "4.17", "3.73", "6.72", "5.40", "7.85"]
    assert not any(head.startswith("paper") and head != "paper clap" for head in same[0])
    text = quality_markdown(summary(), info(model={"name": "tiny"}))
    assert not any("paper" in head for c in cells(text) for head in c)
    assert "The paper's Frechet is not beside ours: the model is tiny and not cvssp/audioldm2" in text
    assert "The paper's speed-up is not beside ours" in text
    assert "paper" not in quality_markdown(summary())


def test_the_terminal_table_fits_and_missing_numbers_are_dashes():
    found = summary()
    for metric in ("kl_softmax", "clap"):
        found["rows"][0]["metrics"].pop(metric)
    found["rows"][2]["metrics"]["frechet"] |= {"low": None, "high": None}
    found["rows"][2]["speedup_vs_dense"] = None
    text = quality_table(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("same captions and seeds, continued") == 1 and text.count("lower is better") == 4
    lines = [line.split() for line in text.splitlines()]
    of_dense = [line for line in lines if line[:2] == ["10", "dense"]]
    assert sum(line.count("-") for line in of_dense) == 3
    of_tome = [line for line in lines if line[:2] == ["10", "tome"]]
    assert of_tome[0][3] == "9.00" and of_tome[0][-1] == "-"


def test_csv_holds_every_number_unrounded():
    found = summary(**PAPERS_METRICS)
    rows = list(csv.DictReader(io.StringIO(quality_csv(found, info()))))
    by_key = {(r["seconds"], r["method"], r["metric"]): r for r in rows}
    for expected in found["rows"]:
        for name, metric in expected["metrics"].items():
            got = by_key[f"{expected['seconds']:g}", expected["method"], name]
            assert [float(got[k]) for k in ("value", "low", "high")] == [metric[k] for k in ("value", "low", "high")]
            assert got["minus_dense"] == ("" if not metric["minus_dense"] else repr(metric["minus_dense"]["value"]))
            assert got["paper"] == ("" if name != "frechet" else got["paper"]) and got["checkpoint"] == str(
                metric["checkpoint"] or ""
            )
    assert float(by_key["40", "litefocus", "frechet"]["paper"]) == 5.4
    assert float(by_key["10", "tome", "speedup_vs_dense"]["high"]) == 1.3 * 1.02
    assert len(rows) == sum(len(r["metrics"]) + 1 for r in found["rows"])


def test_latex_says_what_the_markdown_says_and_escapes():
    text = quality_latex(summary())
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    lite = next(line for line in text.splitlines() if line.startswith("10 & litefocus &"))
    assert lite.endswith(r"\\") and "6.00 (5.70..6.30)" in lite and r"18.0 (17.1..18.9)" in lite
    assert r"text\_encoder" in text and r"silent \& left out" in text
    assert not re.search(r"^\[", text, flags=re.M)


def test_tex_is_escaped_mark_by_mark():
    assert in_tex(r"a_b 5% {x} \y ~ ^ [s]") == (
        r"a\_b 5\% \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} {[}s]"
    )
    table = Table("T", [numbers("a", [1], "d", "s"), words("b", ["x|y"])])
    assert r"\begin{tabular}{rl}" in in_latex([table]) and r"1 & x\textbar{}y \\" in in_latex([table])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"schema": "focuslab/profile/1", "rows": [1]}, "focuslab/evaluation/1"),
        ({"schema": "focuslab/evaluation/1", "rows": []}, "no row"),
        ({**summary(), "rows": summary()["rows"] * 2}, "dense at 10 s twice"),
    ],
)
def test_what_is_no_evaluation_is_refused(wrong, message):
    for show in (quality_table, quality_markdown, quality_csv, quality_latex, lambda s: quality_figure(s, 10.0)):
        with pytest.raises(InputError, match=message) as caught:
            show(wrong)
        assert "\n" not in str(caught.value)


def test_tables_need_no_torch_and_no_matplotlib():
    code = "import sys, focuslab.tables.quality;print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def points(ax):
    return {c.get_label(): tuple(c.lines[0].get_xydata()[0]) for c in ax.containers}


def bars(ax):
    """Label -> the ends of its bars, (x low, x high), (y low, y high); without those that it lacks."""
    found = {}
    for container in ax.containers:
        ends = [segment for bar in container.lines[2] for segment in bar.get_segments() if len(segment)]
        found[container.get_label()] = [tuple(end[:, axis]) for axis, end in enumerate(ends)]
    return found


def test_the_figure_draws_each_methods_difference_to_dense():
    rows = [r for r in evaluation_rows(summary()) if r["seconds"] == 40.0]
    ax = plot_speed_against_quality(rows, "clap", better="higher")
    assert points(ax) == {
        "dense": pytest.approx((1.0, 0.0)),
        "litefocus": pytest.approx((1.5, 2.0)),
        "tome": pytest.approx((1.3, -5.0)),
    }
    found = bars(ax)
    assert found["litefocus"] == [pytest.approx((1.5 * 0.98, 1.5 * 1.02)), pytest.approx((2 - 0.475, 2 + 0.475))]
    assert len(found["dense"]) == 1
    assert ax.get_ylabel() == "\u0394 CLAP score [% points]\n(higher is better)"
    (line,) = [line for line in ax.get_lines() if list(line.get_xdata()) == [0, 1]]
    assert line.get_ydata()[0] == 0


def test_a_distance_to_dense_is_drawn_as_it_is():
    rows = [r for r in evaluation_rows(summary()) if r["seconds"] == 10.0]
    ax = plot_speed_against_quality(rows, "log_mel_l1")
    assert points(ax) == {"litefocus": pytest.approx((1.5, 0.31)), "tome": pytest.approx((1.3, 0.72))}
    assert ax.get_ylabel() == "log-mel L1"
    assert not [line for line in ax.get_lines() if list(line.get_xdata()) == [0, 1]]


def test_panels_are_one_distance_kl_and_clap():
    rows = evaluation_rows(summary())
    assert main_metrics(rows) == ["frechet", "kl_softmax", "clap"]
    for found in rows:
        del found["metrics"]["frechet"], found["metrics"]["kl_softmax"]
    assert main_metrics(rows) == ["kernel", "clap", "log_mel_l1"]


def test_methods_without_a_speed_are_left_out():
    rows = [r for r in evaluation_rows(summary()) if r["seconds"] == 10.0]
    rows[2] = {**rows[2], "speedup_vs_dense": None}
    ax = Figure().subplots()
    assert plot_speed_against_quality(rows, "frechet", ax) is ax
    assert set(points(ax)) == {"dense", "litefocus"}
    with pytest.raises(InputError, match="both a speed-up and rms_ratio"):
        plot_speed_against_quality(rows, "rms_ratio")
    with pytest.raises(InputError, match="one length"):
        plot_speed_against_quality(evaluation_rows(summary()), "frechet")


def test_a_figure_a_length_with_a_panel_a_metric(tmp_path):
    figure = quality_figure(summary(), 10.0)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "(a) Frechet, clap",
        "(b) KL, ast",
        "(c) CLAP score, clap",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "litefocus", "tome"]
    assert len(figure.get_supxlabel().splitlines()) == 2
    paths = write_quality_figures(summary(), tmp_path, "how it was made")
    assert [path.name for path in paths] == [f"speed_against_quality_{s}s.svg" for s in ("010", "040")]
    assert all("how it was made" in path.read_text() and "1 sound was silent" in path.read_text() for path in paths)
    assert [length_name(seconds) for seconds in (5.0, 160.0, 0.64)] == ["005s", "160s", "0.64s"]
    with pytest.raises(InputError, match="no 15 s, only 10, 40 s"):
        quality_figure(summary(), 15.0)


@pytest.mark.parametrize("fractions, lefts, bottoms", [(4, 3, 1), (7, 1, 3)])
def test_many_methods_have_the_whole_width(fractions, lefts, bottoms):
    variants = {f"litefocus:cross_fraction=0.{i}": VALUES["litefocus"] for i in range(1, fractions + 1)}
    methods = {"dense": VALUES["dense"], **variants}
    figure = quality_figure(summary(values=methods, speed={"dense": 1.0, **dict.fromkeys(variants, 1.5)}), 10.0)
    figure.canvas.draw()
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert len({place.colspan.start for place in places}) == lefts
    assert len({place.rowspan.start for place in places}) == bottoms
    boxes = [ax.get_tightbbox() for ax in figure.axes] + [text.get_window_extent() for text in figure.texts]
    assert not any(box.count_overlaps(boxes[i + 1 :]) for i, box in enumerate(boxes))
    assert all(figure.bbox.x0 <= box.x0 and figure.bbox.y0 <= box.y0 for box in boxes)


def test_lengths_without_a_speed_have_no_figure(tmp_path):
    found = summary()
    for r in found["rows"]:
        r["speedup_vs_dense"] = None
    assert write_quality_figures(found, tmp_path) == [] and not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="evaluate dense too"):
        quality_figure(found, 10.0)


def test_no_two_methods_look_the_same():
    methods = [f"litefocus:cross_fraction={i / 20}:cross_weight={w}" for i in range(8) for w in (1, "unbiased")]
    looks = looks_of(["dense", "litefocus", *methods])
    assert len({(look.color, look.marker) for look in looks.values()}) == len(looks)


def test_variants_go_from_dark_to_light_with_own_markers():
    methods = ["dense", "litefocus", *(f"litefocus:cross_fraction={r}" for r in (0.02, 0.05, 0.1, 0.2))]
    looks = looks_of(methods)
    brightness = [sum(to_rgb(looks[method].color)) for method in methods[2:]]
    assert brightness == sorted(set(brightness))
    assert len({look.marker for look in looks.values()}) == len(methods)
    assert looks["litefocus"] == method_look("litefocus")
    others = ["length-scale", "plan:mine.json", "tome"]
    more = [f"litefocus:cross_fraction={r}:cross_weight={w}" for r in (0.02, 0.1) for w in (1, 3, 7, "unbiased")]
    markers = [look.marker for look in looks_of(["dense", *more, *others]).values()]
    assert len(set(markers)) == 12 and markers[-3] == method_look("length-scale").marker
    assert looks_of(methods[:3])[methods[2]].color == method_look(methods[2]).color


def test_metrics_with_values_stand_in_their_order():
    known = described()
    rows = [row(10.0, "dense", {"clap": 0.1, "frechet": math.nan}, known), row(10.0, "tome", {"kernel": 0.1}, known)]
    rows[0]["metrics"]["loudness"] = {"value": 3.0}
    assert metrics_of(rows) == ["kernel", "clap", "loudness"]
