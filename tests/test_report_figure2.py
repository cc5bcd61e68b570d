"""Figures of a capture: what is drawn is what was recorded, from plain JSON and arrays, and without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from focuslab.analysis.attention import attention_summary
from focuslab.analysis.maps import maps_of, pick
from focuslab.errors import InputError
from focuslab.report.figures.attention import (
    FIGURES,
    fraction_figure,
    lag_figure,
    length_figure,
    lift_figure,
    rows_figure,
    write_attention_figures,
)
from focuslab.report.figures.blocks import (
    plot_against_fraction,
    plot_entropy_against_length,
    plot_entropy_growth,
    plot_lift_against_length,
)
from focuslab.report.figures.figure2 import MEL_LABEL, SHADE_LABEL, TIME_LABEL, figure2, map_norm, plot_crop, plot_query
from focuslab.report.figures.lift import plot_lag, plot_lift_by_block, plot_lift_by_step, plot_rows
from focuslab.report.figures.style import block_look, intensity
from focuslab.tables.attention import at_length, attention_rows, attention_tables
from focuslab.tables.text import WIDTH, in_markdown, in_terminal
from tests.attention_records import BLOCKS, HEADS, make_arrays, make_info, make_records


@pytest.fixture(scope="module")
def info():
    return make_info(prompts=5, seconds=(10.0, 40.0))


@pytest.fixture(scope="module")
def summary(info):
    return attention_summary(info, make_records(info))


@pytest.fixture(scope="module")
def arrays(info):
    return make_arrays(info)


@pytest.fixture
def rows(summary):
    return at_length(attention_rows(summary), 10.0)


def line(ax, label) -> np.ndarray:
    """[points, 2] of the line of that label, whether it has bars or not."""
    for container in ax.containers:
        if container.get_label() == label:
            return container.lines[0].get_xydata()
    (found,) = [found for found in ax.get_lines() if found.get_label() == label]
    return found.get_xydata()


def bars(ax, label) -> np.ndarray:
    """[points, 2] of the ends of the bars."""
    (container,) = [c for c in ax.containers if c.get_label() == label]
    return np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])


def luma(color) -> float:
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))


# (a)


def test_a_query_map_is_attention_by_time_and_row(info, arrays):
    query = pick(maps_of(info, arrays)[0], half="conditional", block="down_blocks.1")[0]
    ax = plot_query(query)
    (image,) = ax.get_images()
    name = f"query/0/10/19/conditional/{query.place.site}/60:2"
    np.testing.assert_allclose(image.get_array(), arrays[name].mean(axis=0).T * 1000, rtol=1e-5)
    assert image.origin == "lower" and image.get_extent() == [0, 10.0, -0.5, 7.5]
    for mark in ax.get_lines():
        np.testing.assert_allclose(mark.get_xydata(), [[60.5 * 0.08, 2]])
    assert ax.get_xlabel() == TIME_LABEL == "Time [s]" and ax.get_ylabel() == MEL_LABEL == "Mel row"
    np.testing.assert_allclose(
        plot_query(query, head=3).get_images()[0].get_array(), arrays[name][3].T * 1000, rtol=1e-5
    )


def test_the_planted_row_of_the_query_is_the_darkest(info, arrays):
    query = pick(maps_of(info, arrays)[0], half="conditional", block="down_blocks.1")[0]
    image = plot_query(query).get_images()[0]
    shown = np.array([[luma(image.cmap(image.norm(value))[:3]) for value in row] for row in image.get_array()])
    assert shown.mean(axis=1).argmin() == 2 and shown.mean(axis=1)[2] < np.delete(shown.mean(axis=1), 2).min() - 0.15


# (b)


@pytest.mark.parametrize("block", BLOCKS)
def test_stripes_of_a_crop_are_mel_rows_apart(info, arrays, block):
    mel_rows = BLOCKS[block][1]
    (crop,) = pick(maps_of(info, arrays)[1], half="conditional", block=block)
    ax = plot_crop(crop)
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), crop.values.mean(axis=0))
    shown = np.asarray(image.norm(image.get_array()))
    by_offset = np.array([shown.diagonal(offset).mean() for offset in range(1, 3 * mel_rows + 1)])
    stripes = by_offset[mel_rows - 1 :: mel_rows]
    between = np.delete(by_offset, np.arange(mel_rows - 1, len(by_offset), mel_rows))
    assert stripes.min() > between.max() + 0.05 or block == "mid_block"
    first, last = crop.keys
    assert image.get_extent() == [first - 0.5, last + 0.5, last + 0.5, first - 0.5]
    np.testing.assert_allclose(line(ax, "period")[:, 0], [first - 0.5, first - 0.5 + mel_rows])
    ax.figure.draw_without_rendering()
    seconds = [float(label.get_text()) for label in ax.get_xticklabels()]
    step_seconds = 10 / crop.place.time
    assert seconds == pytest.approx([first / mel_rows * step_seconds, (last + 1) / mel_rows * step_seconds], abs=0.006)


def test_figure_2_has_tokens_and_crops_on_one_scale(info, summary, arrays):
    figure = figure2(info, summary, arrays)
    maps = [ax for ax in figure.axes if ax.get_images()]
    queries = [ax for ax in maps if len(ax.get_lines()) == 2]
    titles = [ax.get_title(loc="left") for ax in maps]
    assert [ax.get_title(loc="left") for ax in queries] == [
        f"token at {at} s, mel row {f}: {heads}"
        for at, f in (("4.8", 2), ("10.0", 6))
        for heads in ("mean of 4 heads", "head 3")
    ]
    assert [title.split("\n")[0] for title in titles[4:]] == list(BLOCKS)
    assert [title.split("\n")[1] for title in titles[4:6]] == ["F = 8, lift 4.7", "F = 4, lift 2.3"]
    assert len({(ax.get_images()[0].norm.vmin, ax.get_images()[0].norm.vmax) for ax in maps}) == 1
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["(a) Attention of single tokens, down_blocks.1", "(b) Crops of attention maps, by block"]
    assert "Prompt 1, 10 s, step 19, conditional half" in figure.get_supxlabel()
    assert any(ax.get_xlabel() == SHADE_LABEL for ax in figure.axes)


def test_figure_2_shows_the_strongest_site_of_each_block(info, summary, arrays):
    weaker = {name.replace(".0.attn1", ".1.attn1"): array[:, ::-1] for name, array in arrays.items()}
    changed = json.loads(json.dumps(summary))
    for row in changed["sites"]:
        row["lift"] *= 2 if row["name"].endswith(".1.attn1") else 1
    both = arrays | weaker
    stronger = [ax.get_images()[0].get_array() for ax in figure2(info, changed, both).axes if ax.get_images()]
    only = [ax.get_images()[0].get_array() for ax in figure2(info, summary, weaker).axes if ax.get_images()]
    for a, b in zip(stronger, only, strict=True):
        np.testing.assert_array_equal(a, b)


def test_figure_2_of_queries_or_crops_alone(info, summary, arrays):
    for kind, count in (("query", 4), ("crop", len(BLOCKS))):
        some = {name: array for name, array in arrays.items() if name.startswith(kind)}
        assert sum(bool(ax.get_images()) for ax in figure2(info, summary, some).axes) == count
    with pytest.raises(InputError, match="ask for queries or crops"):
        figure2(info, summary, {})


def test_uniform_attention_has_the_shade_of_one():
    norm = map_norm([np.ones((4, 4))])
    assert norm.vmin < 1 < norm.vmax and norm.vmax == 4
    assert map_norm([np.full((40, 40), 50.0)]).vmax == 50


# lift


def test_heads_are_points_and_means_have_intervals(rows):
    ax = plot_lift_by_block(rows)
    for i, row in enumerate(rows):
        points = line(ax, row["name"])
        np.testing.assert_allclose(points[:, 1], sorted(row["lift_heads"]))
        assert np.all(np.abs(points[:, 0] - i) < 0.3) and len(points) == 2 * HEADS
        np.testing.assert_allclose(line(ax, f"{row['name']}, mean"), [[i, row["lift"]]])
        spans = [found.get_xydata() for found in ax.get_lines() if np.array_equal(found.get_xdata(), [i, i])]
        np.testing.assert_allclose(spans[0][:, 1], [row["lift_low"], row["lift_high"]])
    assert [text.get_text() for text in ax.texts] == [f"F = {row['mel_rows']}" for row in rows]
    assert ax.get_xticklabels()[0].get_text() == "down\nblock 1"
    assert ax.get_ylim()[0] < 1 < 8 < ax.get_ylim()[1]


def test_one_prompt_has_no_interval_to_draw(rows):
    bare = [row | {"lift_low": None, "lift_high": None} for row in rows]
    ax = plot_lift_by_block(bare)
    assert not [found for found in ax.get_lines() if np.ptp(found.get_xdata()) == 0 and len(found.get_xdata()) == 2]


def test_lift_by_step_is_a_table_of_shades_and_numbers(rows):
    ax = plot_lift_by_step(rows)
    lifts = np.array([[step["lift"] for step in row["by_step"]] for row in rows])
    mesh = ax.collections[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(lifts.shape), lifts)
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in lifts.flat]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "10", "19"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(BLOCKS)


# mel rows, lag, fractions, lengths


def test_the_matrix_is_over_chance_low_frequencies_first(rows):
    ax = plot_rows(rows[0])
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), np.array(rows[0]["rows"]) * 8)
    assert ax.get_ylim() == (-0.5, 7.5) and [label.get_text() for label in ax.get_yticklabels()] == ["0", "7"]


def test_lag_is_drawn_at_the_middles_over_uniform(rows):
    for row in rows:
        ax = plot_lag(row)
        for name, label in (("own", "own mel row"), ("other", "other mel rows")):
            lag = row["lag"]
            points = [(x, y) for x, y in zip(lag["middles"], lag[f"{name}_lift"], strict=True) if y]
            np.testing.assert_allclose(line(ax, label), points)
        assert ax.get_xscale() == "log" and ax.get_xlabel().endswith("[s]")
        ax.figure.draw_without_rendering()
        assert [label.get_text() for label in ax.get_xticklabels()][:3] == ["0", "0.1", "0.3"]


@pytest.mark.parametrize("kind", ["recall", "output_error"])
def test_fractions_are_in_percent_with_intervals(rows, kind):
    ax = plot_against_fraction(rows, kind)
    for row in rows:
        expected = [(float(r), 100 * value) for r, value in row[kind].items()]
        np.testing.assert_allclose(line(ax, row["name"]), expected)
        ends = [(100 * row[f"{kind}_low"][r], 100 * row[f"{kind}_high"][r]) for r in row[kind]]
        np.testing.assert_allclose(bars(ax, row["name"]), ends)
    uniform = [found for found in ax.get_lines() if found.get_label() == "uniform"]
    assert len(uniform) == (3 if kind == "recall" else 0)  # F = 8, 4 and 2
    assert ax.get_ylim()[0] == 0


@pytest.mark.parametrize(
    "plot, key",
    [
        (plot_lift_against_length, "lift"),
        (plot_entropy_against_length, "entropy"),
        (plot_entropy_growth, "entropy_growth"),
    ],
)
def test_lengths_and_the_training_length(summary, plot, key):
    rows = attention_rows(summary)
    ax = plot(rows, 10.24)
    for name in BLOCKS:
        expected = [(row["seconds"], row[key]) for row in rows if row["name"] == name]
        np.testing.assert_allclose(line(ax, name), expected)
    np.testing.assert_allclose(line(ax, "training")[:, 0], [10.24, 10.24])
    assert ax.get_xlabel() == "Audio length [s]" and list(ax.get_xticks()) == [10, 40]
    uniform = [found.get_xydata() for found in ax.get_lines() if found.get_label() == "uniform"]
    assert len(uniform) == {"lift": 0, "entropy": 3, "entropy_growth": 1}[key]
    if key == "entropy_growth":
        np.testing.assert_allclose(uniform[0], [(10, 0), (40, np.log(4))], atol=0.02)


# the page and the files


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_titles_labels_and_notes_stay_on_the_page_and_apart(summary, draw):
    figure = draw(summary)
    figure.draw_without_rendering()
    page = figure.bbox
    tight = figure.get_tightbbox()
    assert tight.x0 >= -0.01 and tight.y0 >= -0.01
    assert tight.x1 <= page.width / figure.dpi + 0.01 and tight.y1 <= page.height / figure.dpi + 0.01
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert 1 <= len(figure.get_supxlabel().splitlines()) <= 2
    assert not [ax for ax in boxes if ax.overlaps(figure.texts[-1].get_window_extent())]


def test_panels_share_their_scales(summary):
    limits = {ax.get_ylim() for ax in lag_figure(summary).axes}
    assert len(limits) == 1
    norms = {(m.norm.vmin, m.norm.vmax) for ax in rows_figure(summary).axes[:-1] for m in ax.get_images()}
    assert len(norms) == 1


def test_the_note_says_what_intervals_of_few_prompts_cover():
    info = make_info(prompts=2)
    summary = attention_summary(info, make_records(info))
    assert "covers 50 %" in lift_figure(summary).get_supxlabel().replace("\n", " ")
    assert "covers 50 %" not in rows_figure(summary).get_supxlabel().replace("\n", " ")


def test_all_figures_are_written_for_a_whole_capture(tmp_path, info, summary, arrays):
    paths = write_attention_figures(info, summary, arrays, tmp_path, "how")
    names = ["figure2", *FIGURES]
    assert [path.relative_to(tmp_path).name for path in paths] == [f"{name}.svg" for name in names]
    for path in paths:
        ElementTree.parse(path)
        assert "how" in path.read_text()
    again = write_attention_figures(info, summary, arrays, tmp_path / "again", "how")
    assert [a.read_bytes() for a in paths] == [b.read_bytes() for b in again]


@pytest.mark.parametrize(
    "missing, written",
    [
        (("mass",), {"rows", "lag", "fractions"}),
        (("rows", "lag"), {"lift", "fractions"}),
        (("recall",), {"lift", "rows", "lag", "fractions"}),
        (("recall", "output_error"), {"lift", "rows", "lag"}),
    ],
)
def test_what_was_not_recorded_is_not_drawn(tmp_path, missing, written):
    info = make_info(prompts=2)
    summary = attention_summary(info, make_records(info, without=missing))
    paths = write_attention_figures(info, summary, {}, tmp_path)
    assert {path.stem for path in paths} == written
    for name in FIGURES.keys() - written - {"lengths"}:
        with pytest.raises(InputError, match="was not recorded"):
            FIGURES[name](summary)


def test_lengths_without_entropy_or_without_a_training_length(info):
    summary = attention_summary(info, make_records(info, without=("entropy",)))
    assert len(length_figure(summary).axes) == 1
    other = make_info(prompts=2, seconds=(20.0, 40.0))
    summary = attention_summary(other, make_records(other))
    assert len(length_figure(summary).axes) == 2
    with pytest.raises(InputError, match="training length"):
        plot_entropy_growth(attention_rows(summary), 10.24)


def test_output_error_alone_is_one_panel():
    info = make_info(prompts=2)
    summary = attention_summary(info, make_records(info, without=("recall",)))
    (ax,) = fraction_figure(summary).axes
    assert ax.get_ylabel().startswith("Output error")


@pytest.mark.parametrize("draw", [*FIGURES.values(), attention_tables])
@pytest.mark.parametrize("content, words", [({"schema": "focuslab/profile/1"}, "profile"), ({}, "None")])
def test_what_is_no_capture_is_refused(draw, content, words):
    with pytest.raises(InputError, match=words):
        draw(content)


def test_a_capture_without_a_finished_prompt_is_refused(info):
    with pytest.raises(InputError, match="recorded to its end"):
        lift_figure(attention_summary(info, []))


def test_a_length_that_is_not_there_is_refused(summary):
    with pytest.raises(InputError, match="no 30 s, only 10, 40 s"):
        at_length(attention_rows(summary), 30.0)


# looks


def test_looks_of_blocks_differ_in_grey():
    names = [f"down_blocks.{i}" for i in range(4)] + ["mid_block"] + [f"up_blocks.{i}" for i in range(4)]
    looks = [block_look(name) for name in names]
    assert len({(look.marker, look.dashes) for look in looks}) == len({look.color for look in looks}) == len(names)
    assert block_look("down_blocks.1.attentions.0.attn1") == block_look("down_blocks.1")
    assert to_hex(block_look("elsewhere").color)


def test_shades_are_even_in_grey():
    values = np.array([luma(intensity()(x)[:3]) for x in np.linspace(0, 1, 64)])
    assert np.all(np.diff(values) < 0) and values[0] > 0.85 and values[-1] < 0.1


# the table


def test_the_table_says_what_the_figures_show(summary):
    text = in_terminal(attention_tables(summary))
    numbers, words = text.split("In words")
    assert all(len(each) <= WIDTH for each in text.splitlines())
    found = [each.split() for each in numbers.splitlines() if re.match(r" *(10|40)  ", each)]
    assert [cells[1] for cells in found] == 4 * list(BLOCKS)  # too wide for one part
    first, lines = summary["blocks"][0], len(summary["blocks"])
    assert found[0][2:7] == ["125", "x", "8", "58.7", "12.5"]
    assert found[0][7] == f"{first['lift']:.2f}" and found[0][9] == f"{first['best_head_lift']:.2f}"
    assert found[5][10:12] == ["+1.11", "+1.39"]
    assert found[0][12:] + found[lines][2:] == ["59", "21", "63", "19", "67", "17"]
    for row in summary["blocks"]:
        assert re.search(rf"{row['seconds']:g}  {re.escape(row['name'])} +{re.escape(row['verdict'])}", words)
    assert "bootstrap over prompts (5 of them)" in numbers and "1.045 times" in numbers
    markdown = in_markdown(attention_tables(summary))
    assert f"| `down_blocks.1` | {first['verdict']} |" in markdown


def test_the_table_says_what_is_missing():
    info = make_info(prompts=1, seconds=(5.0,))
    text = in_terminal(
        attention_tables(attention_summary(info, make_records(info, without=("recall", "output_error"))))
    )
    assert "r=0" not in text and "one prompt" in text and "no measured length is near" in text
    text = in_terminal(attention_tables(attention_summary(info, make_records(info, without=("mass", "entropy")))))
    assert "Not measured, same-frequency mass." in text and "Not measured, entropy." in text


# what it needs


def test_no_torch_no_pyplot_and_nothing_changed_by_importing():
    code = (
        "import sys, matplotlib; rc = matplotlib.rcParams; before = {k: rc[k] for k in rc if k != 'backend'};"
        "import focuslab.report.figures.attention;"
        "assert not {'torch', 'matplotlib.pyplot', 'seaborn'} & set(sys.modules);"
        "assert {k: rc[k] for k in before} == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_are_drawn_from_files_alone(tmp_path, info, summary, arrays):
    from safetensors.numpy import save_file

    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "run.json").write_text(json.dumps(info.to_json()))
    save_file(arrays, tmp_path / "arrays.safetensors")
    code = (
        "import json, sys, pathlib; from safetensors.numpy import load_file; from focuslab.runs import RunInfo;"
        "from focuslab.report.figures.attention import write_attention_figures; d = pathlib.Path(sys.argv[1]);"
        "info = RunInfo.from_json(json.loads((d / 'run.json').read_text()), 'run.json');"
        "write_attention_figures(info, json.loads((d / 'summary.json').read_text()),"
        " load_file(d / 'arrays.safetensors'), d / 'figures');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    assert Path(tmp_path / "figures" / "figure2.svg").exists()


@pytest.mark.filterwarnings("error")
def test_the_users_settings_are_kept_and_do_not_leak_in(tmp_path, info, summary, arrays):
    plain = write_attention_figures(info, summary, arrays, tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "black", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        loud = write_attention_figures(info, summary, arrays, tmp_path / "loud")
        assert dict(matplotlib.rcParams) == before
    assert [a.read_bytes() for a in plain] == [b.read_bytes() for b in loud]
