import copy

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from focuslab.errors import InputError
from focuslab.report.figures.frontier import frontier_figure, plot_frontier, write_frontier
from focuslab.report.figures.layout import TIMES
from focuslab.report.figures.site_map import GAIN, LIFT, plot_site_map, site_map_figure, site_norm, write_site_map
from focuslab.tables.choice import brief_group, choice_tables, length_rows, marks_of
from focuslab.tables.text import WIDTH, in_markdown, in_terminal
from tests.choice_records import BLOCKS, SITES, make_summary


def choice_table(summary):
    return in_terminal(choice_tables(summary))


def choice_markdown(summary):
    return in_markdown(choice_tables(summary))


@pytest.fixture(scope="module")
def summary():
    return make_summary()


@pytest.fixture(scope="module")
def row(summary):
    return summary["lengths"][-1]


def test_the_table_says_what_was_chosen_and_why(summary, row):
    table = choice_table(summary)
    lines = table.splitlines()
    assert max(map(len, lines)) <= WIDTH
    plan, paper = row["points"]["plan"], row["points"]["paper"]
    first = next(line.split() for line in lines if line.split()[:2] == ["80", "plan"])
    assert first[2:5] == [str(len(plan["methods"])), f"{plan['step_seconds']:.2f}", f"{plan['speedup']:.2f}x"]
    assert f"{100 * plan['error']:.2f} ({100 * plan['error_low']:.2f}..{100 * plan['error_high']:.2f})" in table
    assert f"{100 * paper['error']:.2f}" in table
    assert summary["crossover"] in table and "Chosen: the knee" in table
    assert f"p = {summary['combination']['exponent']:.2f}, fitted on 4 joint runs" in table
    for length in summary["lengths"]:
        title = next(
            i for i, line in enumerate(lines) if line.startswith(f"At {length['seconds']:g} s, block by block")
        )
        for line, group in zip(lines[title + 4 :], length["groups"], strict=False):
            assert line.split()[0] == group["group"]
            assert line.split()[-1] == ("sparse" if group["taken"] else "dense")
            saved = float(line.split()[-2])
            assert saved == pytest.approx(1e3 * group["saved_seconds"], abs=0.5)
        for group in length["groups"]:
            assert group["reason"] in table
    assert "dense block" not in table


def test_markdown_has_the_same_rows(summary):
    text = choice_markdown(summary)
    assert text.count("\n| 80 | `plan` |") == 1 and "**In words**" in text
    for length in summary["lengths"]:
        for group in length["groups"]:
            assert f"`{group['group']}`" in text


def test_sites_are_named_in_brief():
    assert brief_group("up_blocks.2") == "up_blocks.2"
    assert brief_group("up_blocks.2.attentions.3.transformer_blocks.0.attn1") == "up_blocks.2 a3.0.attn1"


def test_marks_stand_in_one_order(row):
    shuffled = {"points": dict(reversed([*row["points"].items(), ("other", {})]))}
    assert list(marks_of(shuffled)) == ["plan", "paper", "all sites", "other", "dense"]


@pytest.mark.parametrize("show", [choice_table, choice_markdown, frontier_figure, site_map_figure])
def test_anything_else_is_refused(show, summary):
    with pytest.raises(InputError, match="expected the summary of a choice .* got schema 'focuslab/profile/1'"):
        show({"schema": "focuslab/profile/1"})
    with pytest.raises(InputError, match="holds no length"):
        show({**summary, "lengths": []})
    assert length_rows(summary) == summary["lengths"]


def line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label)


def test_the_frontier_and_the_marks_are_where_they_were_predicted(row):
    ax = plot_frontier(row)
    times, errors = line(ax, "frontier").get_data()
    assert list(zip(times, errors, strict=True)) == [(t, 100 * e) for t, e in reversed(row["frontier"])]
    assert line(ax, "frontier").get_drawstyle() == "steps-post"
    shapes = set()
    for name, point in row["points"].items():
        mark = line(ax, name)
        assert mark.get_xydata().tolist() == [[point["step_seconds"], 100 * point["error"]]]
        low, high = ax.get_xlim()
        assert low < point["step_seconds"] < high and 0 <= 100 * point["error"] < ax.get_ylim()[1]
        shapes.add(mark.get_marker())
    assert len(shapes) == len(row["points"])  # distinguished without colour
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    plan = row["points"]["plan"]
    assert texts[0] == f"plan {plan['speedup']:.2f}{TIMES}, {100 * plan['error']:.2f} %" and len(texts) == 4
    assert ax.get_xlabel() == "Time per denoising step [s]" and ax.get_ylabel() == "Error of UNet output [%]"


def test_the_unit_is_that_of_the_step():
    row = make_summary()["lengths"][-1]
    for point in (row, *row["points"].values()):
        for key in ("step_seconds", "dense_step_seconds"):
            if key in point:
                point[key] /= 1000
    row["frontier"] = [[t / 1000, e] for t, e in row["frontier"]]
    ax = plot_frontier(row)
    assert ax.get_xlabel() == "Time per denoising step [ms]"
    assert line(ax, "plan").get_xdata()[0] == pytest.approx(1000 * row["points"]["plan"]["step_seconds"])


@pytest.mark.parametrize("factor", [0.002, 0.05, 1, 3, 20])
def test_labels_of_errors_stay_on_the_page_and_apart(summary, factor):
    for row in summary["lengths"]:
        for point in row["points"].values():
            point["error"] *= factor
        row["frontier"] = [[t, e * factor] for t, e in row["frontier"]]
    figure = frontier_figure(summary)
    figure.canvas.draw()
    panels = [ax.get_window_extent() for ax in figure.axes]
    for ax in figure.axes:
        label = ax.yaxis.label.get_window_extent()
        assert label.x0 >= 0 and not any(label.overlaps(panel) for panel in panels)


def test_the_table_says_which_times_are_of_the_whole_choice(summary):
    assert "of the whole choice" not in choice_markdown(summary)
    lengths = summary["lengths"]
    point = lengths[0]["points"]["plan"] | {"timed": True}
    timed = summary | {"lengths": [lengths[0] | {"points": lengths[0]["points"] | {"plan": point}}, *lengths[1:]]}
    said = f"of plan and paper at {lengths[0]['seconds']:g} s were measured of the whole choice"
    assert said in choice_markdown(timed)


def test_a_dense_plan_says_so(summary):
    ax = plot_frontier(summary["lengths"][0])
    assert ax.get_legend().get_texts()[0].get_text() == "plan: dense"


def intervals(ax):
    return [[round(float(y), 9) for y in drawn.get_ydata()] for drawn in ax.get_lines()]


def test_what_was_measured_is_open_and_has_its_interval(row):
    measured = {"plan": {"step_seconds": 12.5, "error": 0.008, "error_low": 0.007, "error_high": 0.02}}
    ax = plot_frontier(row, measured=measured)
    mark = line(ax, "plan, measured")
    assert mark.get_xydata().tolist() == [[12.5, 0.8]] and mark.get_markerfacecolor() == "white"
    assert [0.7, 2.0] in intervals(ax)
    assert ax.get_ylim()[1] > 2.0
    without = {"plan": {"step_seconds": 12.5, "error": 0.008}}
    assert [0.7, 2.0] not in intervals(plot_frontier(row, measured=without))


def boxes(figure):
    found = []
    for ax in figure.axes:
        texts = [*ax.texts, ax.xaxis.label, ax.yaxis.label]
        found += [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]
    return found + [(t.get_text(), t.get_window_extent()) for t in figure.texts]


@pytest.mark.parametrize("make", [frontier_figure, site_map_figure])
def test_no_words_overlap_or_leave_the_page(make, summary):
    figure = make(summary)
    figure.draw_without_rendering()
    found = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for i, (text, box) in enumerate(found):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
        for other, second in found[i + 1 :]:
            assert not box.overlaps(second), (text, other)


def test_long_names_of_methods_on_both_ways_do_not_overlap(summary):
    for site in summary["lengths"][0]["sites"]:
        site["method"] = "litefocus:cross_fraction=0.05:cross_weight=unbiased"
    figure = site_map_figure(summary)
    figure.draw_without_rendering()
    found = boxes(figure)
    assert any("w=1/r" in text for text, _ in found)
    assert not [(a, b) for i, (a, box) in enumerate(found) for b, other in found[i + 1 :] if box.overlaps(other)]


def cells(ax, label):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_label().endswith(label)]


@pytest.mark.parametrize("of", [LIFT, GAIN])
def test_sites_have_squares_and_chosen_ones_frames(row, of):
    ax = plot_site_map(row["sites"], of)
    squares = {patch.get_label().partition(":")[0]: patch for patch in cells(ax, f": {of}")}
    assert list(squares) == list(SITES)
    chosen = {site["name"] for site in row["sites"] if site["method"]}
    assert {patch.get_label().partition(":")[0] for patch in cells(ax, ": chosen")} == chosen and chosen
    corners = {patch.get_xy() for patch in squares.values()}
    assert len(corners) == len(SITES)


def test_higher_lifts_are_darker_and_fine_blocks_on_top(row):
    ax = plot_site_map(row["sites"], LIFT)
    squares = {patch.get_label().partition(":")[0]: patch for patch in cells(ax, f": {LIFT}")}
    by_lift = sorted(row["sites"], key=lambda site: site["lift"])
    shades = [sum(to_rgb(squares[site["name"]].get_facecolor())) for site in by_lift]
    assert shades == sorted(shades, reverse=True)
    tops = {block: next(squares[s].get_y() for s in SITES if SITES[s] == block) for block in BLOCKS}
    assert (
        tops["down_blocks.1"] == tops["up_blocks.2"] < tops["down_blocks.2"] == tops["up_blocks.1"] < tops["mid_block"]
    )
    names = [text.get_text() for text in ax.texts]
    assert "down_blocks.1, F = 8: litefocus r=0.02 w=1/r" in names and "mid_block, F = 2" in names


def test_what_saves_nothing_or_is_not_known_has_no_shade(summary):
    sites = [dict(site) for site in summary["lengths"][0]["sites"]]
    assert all(site["saved_share"] <= 0 for site in sites)
    sites[0]["lift"], sites[1]["saved_share"], sites[2]["saved_share"] = None, 0.1, None
    gains = cells(plot_site_map(sites, GAIN), f": {GAIN}")
    assert [patch.get_facecolor()[:3] == (1, 1, 1) for patch in gains[:4]] == [True, False, True, True]
    assert gains[2].get_hatch() and not gains[3].get_hatch()
    assert cells(plot_site_map(sites, LIFT), f": {LIFT}")[0].get_hatch()
    assert site_norm(sites, GAIN).vmax == 0.1


def test_a_block_with_several_methods_says_how_many(row):
    sites = [dict(site) for site in row["sites"]]
    sites[0]["method"] = "tome"
    ax = plot_site_map(sites, LIFT)
    assert "down_blocks.1, F = 8: 2 methods" in [text.get_text() for text in ax.texts]


def test_a_map_without_lift_says_so(summary):
    bare = copy.deepcopy(summary)
    for site in bare["lengths"][1]["sites"]:
        site |= {"lift": None, "mel_rows": None}
    figure = site_map_figure(bare)
    assert "Lift was not recorded at 20 s." in figure.texts[-1].get_text().replace("\n", " ")
    assert figure.axes[2].texts[2].get_text() == "mid_block"


@pytest.mark.parametrize(("write", "name"), [(write_frontier, "frontier"), (write_site_map, "site_map")])
def test_figures_are_written_the_same_each_time(write, name, summary, tmp_path):
    first = [path.read_bytes() for path in write(summary, tmp_path / "a")]
    paths = write(summary, tmp_path / "b")
    assert [path.name for path in paths] == [f"{name}.svg"]
    assert [path.read_bytes() for path in paths] == first
