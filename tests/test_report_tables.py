"""Text tables of a profile: every printed cell is read back and compared with the number it came from."""

import copy
import math
import re
import subprocess
import sys

import pytest

from focuslab.errors import InputError
from focuslab.tables.profile import checked_rows, methods_of, missing_rows, profile_tables
from focuslab.tables.text import WIDTH, in_markdown, in_terminal

KINDS = ("self_attention", "cross_attention", "feed_forward", "resnet", "other")
DENSE = {10.0: 2.0, 20.0: 4.5, 40.0: 13.0, 80.0: 43.0}
SPEED = {
    "dense": {10.0: 1.0, 20.0: 1.0, 40.0: 1.0, 80.0: 1.0},
    "naive": {10.0: 0.66, 20.0: 0.6},
    "litefocus": {10.0: 1.2, 20.0: 1.29, 40.0: 1.34, 80.0: 1.99},
    "litefocus:cross_weight=unbiased": {10.0: 1.18, 20.0: 1.27, 40.0: 1.33, 80.0: 1.95},
    "bound": {10.0: 1.31, 20.0: 1.35, 40.0: 1.56, 80.0: 2.53},
}
SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "s": 1, "ms": 1e-3, "us": 1e-6, "min": 60}
SIZES |= {"TFLOP": 1e12, "GFLOP": 1e9, "MFLOP": 1e6, "FLOP": 1}


def profile_table(summary):
    return in_terminal(profile_tables(summary))


def profile_markdown(summary):
    return in_markdown(profile_tables(summary))


def row(seconds: float, method: str) -> dict:
    speed = SPEED[method][seconds]
    time = DENSE[seconds] / speed
    bound = DENSE[seconds] / SPEED["bound"][seconds]
    sparse = method.startswith("litefocus")
    ideal = bound + 0.2125 * (DENSE[seconds] - bound) if sparse else None
    share = {"self_attention": 0.3 + seconds / 300 / speed, "cross_attention": 0.1, "feed_forward": 0.15, "resnet": 0.1}
    flops = {"self_attention": 0.25 + seconds / 250, "cross_attention": 0.08, "feed_forward": 0.2, "resnet": 0.1}
    return {
        "seconds": seconds,
        "method": method,
        "sites": 0 if method == "dense" else 20,
        "step_seconds_median": time,
        "step_seconds_p10": time * 0.97,
        "step_seconds_p90": time * 1.06,
        "step_seconds": [time],
        "speedup_vs_dense": speed,
        "peak_bytes": int(2.3e9 + seconds * 3e7 / speed),
        "predicted_peak_bytes": int(2.5e9 + seconds * 3e7),
        "flops_per_step": int(2e12 * seconds / 10 / speed),
        "kept_pairs": 0.2125 if sparse else 1.0,
        "bound_seconds": bound if sparse else None,
        "ideal_seconds": ideal,
        "share_of_ideal": ideal / time if sparse else None,
        "generation_seconds_projected": 200 * time,
        "kind_share": share | {"other": 1 - sum(share.values())},
        "kind_flop_share": flops | {"other": 1 - sum(flops.values())},
        "modules": [],
    }


@pytest.fixture
def summary() -> dict:
    """Five methods at four lengths; naive was stopped after 20 s."""
    return {
        "schema": "focuslab/profile/1",
        "rows": [row(seconds, method) for seconds in DENSE for method in SPEED if seconds in SPEED[method]],
        "stages": [
            {"seconds": 10.0, "stage": "prompt_encoding", "stage_seconds_median": None, "note": "not measured: absent"},
            {"seconds": 10.0, "stage": "vae_decoder", "stage_seconds_median": 1.234, "note": None},
            {"seconds": 20.0, "stage": "prompt_encoding", "stage_seconds_median": None, "note": "not measured: absent"},
            {"seconds": 20.0, "stage": "vae_decoder", "stage_seconds_median": 2.5678, "note": None},
        ],
        "instrumented_over_plain": 1.004,
        "projected_steps": 200,
    }


def terminal_cells(text: str) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of the first table of a text. Columns are where the rule has dashes; a folded label is joined."""
    lines = text.split("\n\n")[0].splitlines()
    spans = [match.span() for match in re.finditer("-+", lines[3])]
    cut = [[line[start:end].strip() for start, end in spans] for line in lines]
    # The unit is in the line that has the room for it.
    heads = [re.sub(r"(.*?) ?(\[.*?\]) ?(.*)", r"\1 \3 \2", f"{a} {b}") for a, b in zip(cut[1], cut[2], strict=True)]
    heads = [" ".join(head.split()) for head in heads]
    rows: list[list[str]] = []
    for cells in cut[4:]:
        if cells[0]:
            rows.append(cells)
        else:
            assert [cell for cell in cells if cell] == [cells[1]], "only a label goes on in a second line"
            rows[-1][1] += cells[1] if rows[-1][1].endswith("=") else f":{cells[1]}"
    return heads, rows


def markdown_cells(text: str) -> tuple[list[str], list[list[str]]]:
    lines = text.split("\n\n")[1].splitlines()
    cut = [[cell.strip().strip("`").replace("\\", "") for cell in line.strip("|").split(" | ")] for line in lines]
    return cut[0], cut[2:]


def unit_of(head: str) -> float:
    return next(SIZES[word] for word in re.findall(r"[A-Za-z]+", head)[::-1] if word in SIZES)


def same(text: str, value: float, size: float = 1.0) -> bool:
    """Whether a printed number is the value within half of its last printed digit."""
    decimals = len(text.partition(".")[2])
    return math.isclose(float(text), value / size, abs_tol=0.5000001 * 10**-decimals, rel_tol=0)


@pytest.mark.parametrize("read, write", [(terminal_cells, profile_table), (markdown_cells, profile_markdown)])
def test_every_cell_reads_back_as_its_number(summary, read, write):
    heads, printed = read(write(summary))
    assert len(heads) == 11
    rows = checked_rows(summary["rows"])
    assert [(float(cells[0]), cells[1]) for cells in printed] == [(r["seconds"], r["method"]) for r in rows]
    assert len(printed) == 18
    length, _, step, speed, ideal, of_ideal, peak, flops, in_time, in_flops, generation = heads
    assert length == "length [s]" and step == "step time (p10..p90) [s]"
    assert (speed, ideal, of_ideal) == ("speed-up vs dense", "ideal speed", "of ideal [%]")
    assert (in_time, in_flops) == ("self-att. time [%]", "self-att. FLOPs [%]")
    assert peak == "peak [GiB]" and flops == "FLOPs [TFLOP]" and generation == "200 steps [min]"
    for cells, r in zip(printed, rows, strict=True):
        median, low, high = re.fullmatch(r"([\d.]+?) \(([\d.]+?)\.\.([\d.]+)\)", cells[2]).groups()
        assert same(median, r["step_seconds_median"], unit_of(step.replace("(p10..p90)", "")))
        assert same(low, r["step_seconds_p10"]) and same(high, r["step_seconds_p90"])
        assert cells[3].endswith("x") and same(cells[3][:-1], r["speedup_vs_dense"])
        if r["method"].startswith("litefocus"):
            assert cells[4].endswith("x") and same(cells[4][:-1], DENSE[r["seconds"]] / r["ideal_seconds"])
            assert same(cells[5], 100 * r["share_of_ideal"])
        else:
            assert cells[4:6] == ["-", "-"]
        assert same(cells[6], r["peak_bytes"], unit_of(peak))
        assert same(cells[7], r["flops_per_step"], unit_of(flops))
        assert same(cells[8], 100 * r["kind_share"]["self_attention"])
        assert same(cells[9], 100 * r["kind_flop_share"]["self_attention"])
        assert same(cells[10], r["generation_seconds_projected"], unit_of(generation))


@pytest.mark.parametrize("scale, unit", [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.3, "ms")])
def test_the_unit_of_time_gives_every_cell_three_digits(summary, scale, unit):
    for r in summary["rows"]:
        for key in ("step_seconds_median", "step_seconds_p10", "step_seconds_p90"):
            r[key] *= scale
    heads, printed = terminal_cells(profile_table(summary))
    assert heads[2] == f"step time (p10..p90) [{unit}]"
    for cells, r in zip(printed, checked_rows(summary["rows"]), strict=True):
        median = cells[2].split(" ")[0]
        assert same(median, r["step_seconds_median"], SIZES[unit])
        assert len(median.replace(".", "").lstrip("0")) >= 3


def test_small_models_get_small_units(summary):
    for r in summary["rows"]:
        r["peak_bytes"] //= 1000
        r["predicted_peak_bytes"] //= 1000
        r["flops_per_step"] //= 10**5
        r["generation_seconds_projected"] /= 1000
    heads, printed = terminal_cells(profile_table(summary))
    assert heads[6:8] == ["peak [MiB]", "FLOPs [MFLOP]"] and heads[10] == "200 steps [ms]"
    first = summary["rows"][0]
    assert same(printed[0][6], first["peak_bytes"], 2**20) and same(printed[0][7], first["flops_per_step"], 1e6)


def test_the_terminal_table_stays_within_its_width(summary):
    label = "litefocus:cross_fraction=0.02:cross_weight=unbiased:sites=down_blocks.1+up_blocks.2:sampling=uniform"
    for r in list(summary["rows"]):
        if r["method"] == "litefocus":
            summary["rows"].append({**r, "method": label})
    text = profile_table(summary)
    assert max(map(len, text.splitlines())) <= WIDTH == 120
    _, printed = terminal_cells(text)
    folded = next(cells for cells in printed if cells[1].count(":") > 2)
    assert folded[1].replace(":", "") == label.replace(":", "")  # a long parameter is broken once more
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_dense_stands_first_and_bound_last(summary):
    summary["rows"].reverse()
    assert methods_of(summary["rows"])[0] == "dense" and methods_of(summary["rows"])[-1] == "bound"
    _, printed = terminal_cells(profile_table(summary))
    assert [cells[0] for cells in printed] == sorted((cells[0] for cells in printed), key=float)
    assert printed[0][1] == "dense" and printed[-1][1] == "bound"


@pytest.mark.parametrize("write", [profile_table, profile_markdown])
def test_what_was_not_measured_is_said(summary, write):
    rows = {(r["seconds"], r["method"]): r for r in summary["rows"]}
    rows[10.0, "litefocus"]["peak_bytes"] = None
    rows[20.0, "litefocus"]["kind_share"] = None
    rows[40.0, "litefocus"]["generation_seconds_projected"] = None
    rows[80.0, "litefocus"] |= {"ideal_seconds": None, "share_of_ideal": None, "bound_seconds": None}
    rows[80.0, "litefocus"] |= {"step_seconds_p10": None, "step_seconds_p90": None}
    summary["instrumented_over_plain"] = None
    text = write(summary).replace("\\", "")
    for note in (
        "Not measured, no row (refused, stopped or left out): naive at 40, 80 s.",
        "Not measured, peak memory; ~ is predicted: litefocus at 10 s.",
        "Not measured, share of kinds in time: litefocus at 20 s.",
        "Not projected, a whole generation: litefocus at 40 s.",
        "Not measured, ideal (needs dense and bound at the same length): litefocus at 80 s.",
        "Not measured, spread of the step time: litefocus at 80 s.",
        "Not measured, the cost of the timers.",
        "prompt encoding at 10, 20 s: not measured: absent",
    ):
        assert text.count(note) == 1, note
    _, printed = (terminal_cells if write is profile_table else markdown_cells)(write(summary))
    cells = {(float(c[0]), c[1]): c for c in printed}
    predicted = rows[10.0, "litefocus"]["predicted_peak_bytes"]
    assert cells[10.0, "litefocus"][6].startswith("~") and same(cells[10.0, "litefocus"][6][1:], predicted, 2**30)
    assert cells[20.0, "litefocus"][8] == "-" and cells[40.0, "litefocus"][10] == "-"
    assert same(cells[80.0, "litefocus"][2], rows[80.0, "litefocus"]["step_seconds_median"])
    assert cells[80.0, "litefocus"][4:6] == ["-", "-"]


def test_the_table_says_what_the_peak_is(summary):
    assert "peak: all that the process held" in profile_table(summary)
    for row in summary["rows"]:
        row["held_bytes"] = 3 * 2**30
    text = profile_table(summary)
    assert "all that the process held" not in text and "held before it, at most 3.00 GiB" in text


def test_without_dense_nothing_is_divided_by_it(summary):
    summary["rows"] = [r | {"speedup_vs_dense": None} for r in summary["rows"] if r["method"] != "dense"]
    text = profile_table(summary)
    _, printed = terminal_cells(text)
    assert {cells[3] for cells in printed} == {cells[4] for cells in printed} == {"-"}
    assert "Not measured, speed-up (needs dense at the same length): naive at 10, 20 s;" in text


def test_nothing_is_said_to_be_missing_where_nothing_is(summary):
    summary["rows"] = [r for r in summary["rows"] if r["method"] != "naive"]
    summary["stages"] = []
    text = profile_table(summary)
    assert "ot measured" not in text and "Other stages" not in text
    assert "A step with timers takes 1.004 times a plain one." in text
    assert missing_rows(summary["rows"]) == ""


def test_stages(summary):
    text = profile_table(summary)
    lines = text[text.index("Other stages") :].splitlines()
    assert lines[1].split() == ["length", "stage", "time"] and lines[2].split() == ["[s]", "[s]"]
    assert [re.split(" {2,}", line.strip()) for line in lines[4:8]] == [
        ["10", "prompt encoding", "-"],
        ["10", "vae decoder", "1.23"],
        ["20", "prompt encoding", "-"],
        ["20", "vae decoder", "2.57"],
    ]
    markdown = profile_markdown(summary)
    assert "| length [s] | stage | time [s] |" in markdown and "| 20 | vae decoder | 2.57 |" in markdown
    summary["stages"][1]["stage_seconds_median"] = None
    assert "vae decoder at 10 s: not measured: no reason was given" in profile_table(summary)


def test_markdown_is_a_table_for_github(summary):
    lines = profile_markdown(summary).split("\n\n")[1].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {12}
    assert re.fullmatch(r"\| --: \| :-- \|( --: \|){9}", lines[1])
    summary["rows"][0]["peak_bytes"] = None
    assert "| \\~" in profile_markdown(summary)


def test_one_row_of_one_length(summary):
    summary["rows"] = summary["rows"][:1]
    _, printed = terminal_cells(profile_table(summary))
    assert len(printed) == 1 and printed[0][:2] == ["10", "dense"]


def broken(**change):
    return [row(10.0, "dense") | change]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"rows": []}, "no measured row"),
        ({"rows": None}, "no measured row"),
        ({"schema": "focuslab/attention/1"}, "got schema 'focuslab/attention/1'"),
        ({"schema": None}, "got schema None"),
        ({"rows": broken(method=None)}, "no method"),
        ({"rows": broken(step_seconds_median=None)}, "step_seconds_median None"),
        ({"rows": broken(step_seconds_median=0.0)}, "positive"),
        ({"rows": broken(step_seconds_median=math.nan)}, "positive"),
        ({"rows": broken(seconds="10")}, "seconds '10'"),
        ({"rows": broken() * 2}, "dense at 10 s twice"),
    ],
)
@pytest.mark.parametrize("write", [profile_table, profile_markdown])
def test_what_is_no_profile_is_refused_in_one_line(summary, write, change, words):
    with pytest.raises(InputError, match=re.escape(words)) as error:
        write(summary | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("write", [profile_table, profile_markdown])
def test_the_summary_is_left_as_it_was(summary, write):
    before = copy.deepcopy(summary)
    write(summary)
    assert summary == before


def test_tables_need_the_standard_library_only():
    code = "import sys, focuslab.tables.profile; print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
