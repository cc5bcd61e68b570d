"""The page of `focuslab report`: what is on it, and that all text on it is text; in a browser: test_report_browser."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
import soundfile

from focuslab.errors import InputError
from focuslab.report.html.profiles import merged, profile_group, told_of
from focuslab.report.html.sources import find
from focuslab.report.html.story import of_choice, of_evaluation
from focuslab.report.html.write import MOST_BYTES, default_name, write_report
from focuslab.runs.arrays import read_arrays, write_arrays
from focuslab.tables.table import NOTHING
from tests import report_runs
from tests.evaluation_records import VALUES, summary
from tests.golden_files import check_text


class Reader(HTMLParser):
    """Elements with their attributes, the text, and the tables of a page."""

    VOID = frozenset(("meta", "link", "br", "img", "input", "hr"))

    def __init__(self, content: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.headings: list[int] = []
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.rows = self.tables[attributes["aria-labelledby"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append((attributes.get("data-value", attributes.get("data-csv")), ""))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text.append(data)
            if self.open and "table" in self.open and {"td", "th"} & set(self.open):
                value, shown = self.rows[-1][-1]
                self.rows[-1][-1] = (value, shown + data)

    def of(self, tag: str) -> list[dict]:
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return report_runs.write_all(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(runs):
    """(the page as written, its parts, its text)"""
    out, page = write_report([runs], runs / "report.html")
    content = out.read_text(encoding="utf-8")
    return Reader(content), page, content


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    for name, model in (("a", report_runs.HOSTILE[1]), ("b", report_runs.HOSTILE[0])):
        report_runs.write_profile(root / name, model, seconds=(10.0, 20.0))
    report_runs.write_sounds(root / "sounds", report_runs.HOSTILE, report_runs.HOSTILE[1], seconds=0.2)
    out, page = write_report([root], root / "page.html")
    content = out.read_text(encoding="utf-8")
    return Reader(content), page, content


def test_every_kind_of_run_is_shown_and_nothing_is_missing(made):
    _, page, _ = made
    assert [section.name for section in page.sections] == ["time", "attention", "plan", "cost", "sound", "missing"]
    assert all(section.groups for section in page.sections[:-1])
    assert page.sections[-1].gaps == [] and len(page.words) == 5 and len(page.tiles) == 4
    figures = {s.name: sum(len(g.figures) for g in s.groups) for s in page.sections}
    assert figures == {"time": 2, "attention": 6, "plan": 2, "cost": 2, "sound": 0, "missing": 0}
    assert all(group.made for section in page.sections for group in section.groups if not group.comparisons)


def test_the_page_is_one_file_with_one_script(made):
    reader, _, content = made
    assert len(content.encode()) < MOST_BYTES
    for tag, attributes in reader.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            if attributes.get(name):
                assert attributes[name].startswith(("#", "data:")), (tag, name, attributes[name][:80])
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in content and not re.search(r"url\((?!#)", content)
    (policy,) = [a["content"] for a in reader.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = reader.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and f"script-src 'sha256-{digest}'" in policy
    assert all(
        attributes.get("preload") == "none" and "autoplay" not in attributes for attributes in reader.of("audio")
    )


def test_ids_alternatives_and_headings_are_in_order(made):
    reader, _, _ = made
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    figures = reader.of("img")
    assert len(figures) == 12 + 10  # 10 clips have a picture each
    for attributes in figures:
        assert attributes["src"].startswith("data:image/svg+xml;base64,") and len(attributes["alt"]) > 40
    assert reader.headings[0] == 1 and reader.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(reader.headings, reader.headings[1:], strict=False))
    for attributes in (a for _, a in reader.elements if "aria-labelledby" in a):
        assert set(attributes["aria-labelledby"].split()) <= set(ids)
    links = [a["href"] for a in reader.of("a")]
    assert links and {link[1:] for link in links} <= set(ids)


def test_captions_are_text_whatever_they_hold(hostile):
    reader, page, _ = hostile
    assert len(reader.scripts) == 1 and len(reader.of("script")) == 1 and not reader.of("b")
    text = "".join(reader.text)
    for caption in report_runs.HOSTILE:
        assert caption in text
    assert len(report_runs.HOSTILE[-1]) == 10_000
    assert page.title in text and "49" not in "".join(re.findall(r"{{.*?}}", text))
    prompts = [attributes for tag, attributes in reader.elements if "prompt" in (attributes.get("class") or "").split()]
    assert len(prompts) == 5 and all(attributes["dir"] == "auto" for attributes in prompts)
    assert not [gap for gap in page.sections[-1].gaps if "could not" in gap]


def test_two_models_stand_side_by_side_and_are_named(hostile):
    _, page, _ = hostile
    table = page.sections[0].side_by_side
    assert {row[0].shown for row in table.rows} == set(report_runs.HOSTILE[:2]) and len(table.rows) == 4
    assert all(words.startswith(tuple(f"{model}: " for model in report_runs.HOSTILE[:2])) for words in page.words)
    assert all(tile.label.endswith(")") for tile in page.tiles)
    assert len(page.sections[0].groups) == 2


def test_what_was_not_given_is_said(hostile):
    _, page, _ = hostile
    said = " ".join(page.sections[-1].gaps)
    for word in ("No capture was given", "No plan was given", "Neither a validation"):
        assert word in said
    assert "No profile" not in said and "No clips" not in said


def test_the_same_runs_give_the_same_bytes(tmp_path):
    run = report_runs.write_profile(tmp_path / "run", seconds=(10.0, 20.0))
    first = write_report([run], tmp_path / "a.html")[0].read_bytes()
    assert write_report([run], tmp_path / "b.html")[0].read_bytes() == first


def rows_of(reader: Reader, name: str) -> tuple[dict[str, tuple[int, str]], list[list[tuple[str, str]]]]:
    """The table with a column of this name: {name: (place, unit that is shown)}, and rows of (value held, text)."""
    for first, *rows in reader.tables.values():
        heads = [re.fullmatch(r"(.*?)( \[(.*)\])?", shown.strip()) for _, shown in first]
        columns = {head[1]: (i, head[3] or "") for i, head in enumerate(heads)}
        if name in columns:
            return columns, rows
    raise AssertionError(f"no table has a column {name}")


SIZES = {"": 1, "s": 1, "ms": 1e-3, "min": 60, "%": 0.01, "GiB": 2**30, "GFLOP": 1e9}


def test_every_column_of_the_step_table_is_added_up_again(made):
    """What is shown is the number behind it in the unit of the head, and numbers that depend on others fit them."""
    reader, _, _ = made
    column, rows = rows_of(reader, "Step time")
    summary = report_runs.profile_summary()
    by_key = {(r["seconds"], r["method"]): r for r in summary["rows"]}
    assert len(rows) == len(by_key)
    for row in rows:
        source = by_key[float(row[column["Length"][0]][0]), row[column["Method"][0]][0]]
        expected = {
            "Step time": source["step_seconds_median"],
            "Step time, p10": source["step_seconds_p10"],
            "Step time, p90": source["step_seconds_p90"],
            "Speed-up vs dense": by_key[source["seconds"], "dense"]["step_seconds_median"]
            / source["step_seconds_median"],
            "Of ideal": source["share_of_ideal"],
            "Self-att. time": source["kind_share"]["self_attention"],
            "Self-att. FLOPs": source["kind_flop_share"]["self_attention"],
            "Peak": source["peak_bytes"],
            "FLOPs": source["flops_per_step"],
            "200 steps": 200 * source["step_seconds_median"],
        }
        if source["ideal_seconds"]:
            expected["Ideal speed"] = (
                by_key[source["seconds"], "dense"]["step_seconds_median"] / source["ideal_seconds"]
            )
        assert set(expected) | {"Length", "Method", "Ideal speed"} == set(column)
        for name, value in expected.items():
            place, unit = column[name]
            held, shown = row[place]
            if value is None:
                assert (held, shown) == ("", NOTHING)
            else:
                assert float(held) == pytest.approx(value)
                shown = shown.removesuffix("x")
                decimals = len(shown.partition(".")[2])
                assert float(shown) == pytest.approx(value / SIZES[unit], abs=0.51 * 10**-decimals)


def test_shares_add_up_to_the_whole(made):
    reader, _, _ = made
    _, rows = rows_of(reader, "Together")
    for row in rows:
        assert sum(float(held) for held, _ in row[2:-1]) == pytest.approx(float(row[-1][0])) == pytest.approx(1)
        assert sum(float(shown) for _, shown in row[2:-1]) == pytest.approx(100, abs=0.3) and row[-1][1] == "100.0"
    column, rows = rows_of(reader, "Own time")
    assert sum(float(row[column["Of a step"][0]][0]) for row in rows) == pytest.approx(1)


def test_runs_of_one_length_are_merged_without_mixing_times(tmp_path):
    for seconds in (10.0, 20.0, 40.0):
        report_runs.write_profile(tmp_path / f"{seconds:g}", seconds=(seconds,))
    report_runs.write_profile(tmp_path / "again", seconds=(20.0, 80.0))
    groups = merged(find([tmp_path]).of("profile"))
    assert [sorted({r["seconds"] for r in summary["rows"]}) for _, summary in groups] == [
        [10.0, 20.0, 40.0],
        [20.0, 80.0],
    ]


def test_timings_are_part_of_what_they_time(tmp_path):
    report_runs.write_plan(tmp_path)
    report_runs.write_profile(tmp_path / "plan" / "proof" / "time")
    report_runs.write_profile(tmp_path / "plan" / "timings" / "1")
    page = write_report([tmp_path], tmp_path / "page.html")[1]
    assert "No profile was given" in " ".join(gap for section in page.sections for gap in section.gaps)
    report_runs.write_profile(tmp_path / "time")
    page = write_report([tmp_path], tmp_path / "page.html")[1]
    (time,) = [section for section in page.sections if section.name == "time"]
    assert len(time.groups) == 1


def test_what_the_evaluation_found_best_is_a_table(tmp_path):
    report_runs.write_plan(tmp_path)

    def captions():
        page = write_report([tmp_path], tmp_path / "page.html")[1]
        (section,) = [section for section in page.sections if section.name == "plan"]
        return [table.title for group in section.groups for table in group.tables]

    # Beside its recommendation the plan itself does not say it again.
    assert captions().count("What the evaluation found best") == 1
    shutil.rmtree(tmp_path / "plan")
    assert captions().count("What the evaluation found best") == 1
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["evidence"]["quality"]["10"]["seconds"] = "ten"
    plan["evidence"]["quality"]["40"]["quality"] = None
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert "What the evaluation found best" not in captions()
    del plan["evidence"]["quality"], plan["evidence"]["objective"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert "What the evaluation found best" not in captions()


def test_part_of_an_evaluation_is_not_shown_beside_it(tmp_path):
    table = report_runs.write_evaluation(tmp_path / "table", ["rain"])
    report_runs.write_evaluation(table / "010s", ["rain"], lengths=(10.0,))
    other = report_runs.write_evaluation(table / "other", ["rain"], lengths=(80.0,))
    assert [run.folder.root for run in find([tmp_path]).runs] == [table, other]


def test_the_first_words_name_significant_differences_alone():
    assert of_evaluation(summary()).words == (
        "Of 2 methods against dense at 40 s in Frechet, KL, CLAP score: "
        "litefocus significantly better in Frechet (-1, -1.2 to -0.85) and KL (-0.1, -0.15 to -0.052) "
        "and CLAP score (+2 % points, +1.5 to +2.5); "
        "tome significantly worse in Frechet (+2, +1.8 to +2.2) and KL (+0.4, +0.34 to +0.46) "
        "and CLAP score (-5 % points, -5.3 to -4.7); no other difference is significant."
    )
    assert of_evaluation(summary(width=100.0)).words.endswith("CLAP score: no difference is significant.")
    unpaired = {name: {"clap": values["clap"]} for name, values in VALUES.items() if name != "dense"}
    assert of_evaluation(summary(values=unpaired)) is None


def test_the_first_words_say_where_the_evaluation_chose(tmp_path):
    report_runs.write_plan(tmp_path)
    summary = json.loads((tmp_path / "plan" / "summary.json").read_text())
    assert "At 80 s the plan is predicted to be " in of_choice(summary["choice"]).words
    summary["quality"]["80"] = {**summary["quality"]["40"], "seconds": 80.0}
    assert "At 80 s the plan is predicted to be " in of_choice(summary["choice"], summary).words
    summary["objective"]["80"] = "quality"
    assert (
        "At 80 s the plan runs litefocus, which the evaluation found best; the choice for fidelity is predicted to be "
        in (of_choice(summary["choice"], summary).words)
    )


def test_the_fastest_methods_are_drawn_and_the_others_named(tmp_path):
    summary = report_runs.profile_summary((10.0,))
    dense, sparse, _ = summary["rows"]
    summary["rows"] = [dense] + [
        {**sparse, "method": f"litefocus:cross_fraction={i / 100}", "speedup_vs_dense": 1 + i / 10} for i in range(15)
    ]
    run = report_runs.write_run(tmp_path / "run", report_runs.choice_records.make_info(), summary)
    ((members, merged_summary),) = merged(find([run]).of("profile"))

    class NoDrawer:
        def add(self, *_, **__): ...

        def tables(self, group, make, **_):
            group.tables += make()

    group = profile_group(members, merged_summary, NoDrawer())
    assert len(group.tables[0].rows) == 16
    assert "cross_fraction=0.01" in group.lead and "cross_fraction=0.14" not in group.lead
    assert told_of(summary["rows"])["method"] == "litefocus:cross_fraction=0.14"


def sounds_of(page) -> list:
    return [clip for s in page.sections for g in s.groups for c in g.comparisons for clip in c.clips]


def decoded(clip) -> soundfile.SoundFile:
    kind, _, content = clip.audio.partition(",")
    assert kind == "data:audio/flac;base64"
    return soundfile.SoundFile(BytesIO(base64.b64decode(content)))


def test_clips_are_whole_where_they_fit_and_stand_dense_first(made):
    _, page, _ = made
    (group,) = page.sections[4].groups
    assert [[clip.method for clip in c.clips] for c in group.comparisons] == [["dense", "LiteFocus"]] * 2 + [
        ["dense", "litefocus", "tome"]
    ] * 2
    for clip in sounds_of(page):
        with decoded(clip) as sound:
            assert sound.samplerate == report_runs.RATE and sound.subtype == "PCM_16"
            assert sound.frames / report_runs.RATE in (1.0, 2.0)
        assert clip.picture is not None and clip.made.facts
    assert group.lead == ""


def test_clips_are_cut_so_that_the_page_stays_small(tmp_path):
    report_runs.write_sounds(tmp_path / "sounds", ("one", "two", "three", "four"), seconds=80.0)
    out, page = write_report([tmp_path], tmp_path / "page.html")
    assert out.stat().st_size <= MOST_BYTES
    clips = sounds_of(page)
    lengths = set()
    for clip in clips:
        with decoded(clip) as sound:
            lengths.add(sound.frames)
        assert any(name == "Excerpt" and value.endswith("of 80.0 s") for name, value in clip.facts)
    (length,) = lengths
    assert len(clips) == 8 and 2 * report_runs.RATE < length < 80 * report_runs.RATE
    assert f"{length / report_runs.RATE:.1f} s" in page.sections[4].groups[0].lead


def test_more_clips_than_there_is_room_for_are_counted(tmp_path):
    report_runs.write_sounds(tmp_path / "sounds", [f"prompt {i}" for i in range(9)], seconds=0.2)
    _, page = write_report([tmp_path], tmp_path / "page.html")
    assert len(page.sections[4].groups[0].comparisons) == 6
    assert any(gap.startswith("3 more groups of clips") for gap in page.sections[4].gaps)


def test_an_older_page_is_replaced_and_nothing_else(tmp_path):
    run = report_runs.write_profile(tmp_path / "run", seconds=(10.0,))
    assert default_name([run]) == run / "report.html" and default_name([run, run]) == Path("report.html")
    out, _ = write_report([run], run / "report.html")
    assert write_report([run], out)[0] == out
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    link = tmp_path / "link.html"
    link.symlink_to(notes)
    for place, words in ((notes, "is no report"), (link, "no regular file"), (tmp_path, "is a directory")):
        with pytest.raises(InputError, match=words):
            write_report([run], place)
    assert notes.read_text() == "mine"
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "run.json", "summary.json"]


def test_the_page_says_the_same_in_words(made, runs):
    _, page, _ = made
    said = [page.said, *page.words]
    for section in page.sections:
        said += ["", section.title, section.lead, *section.gaps]
        for group in section.groups:
            said += ["", group.title, group.lead, *(figure.caption for figure in group.figures)]
    text = "\n".join(text for text in said if text is not None)
    check_text("page_words", text.replace(str(runs), "RUNS") + "\n")


def test_a_missed_prediction_is_shown_as_an_alarm(made):
    reader, page, _ = made
    assert page.sections[3].groups[0].missed
    notes = [a for _, a in reader.elements if a.get("class") == "missed"]
    assert len(notes) == 1 and notes[0]["role"] == "note"
    assert "The validation missed the prediction" in " ".join(page.words)


def test_a_plan_alone_says_how_it_was_chosen(runs, tmp_path):
    _, page = write_report([runs / "plan" / "plan.json"], tmp_path / "page.html")
    (group,) = page.sections[2].groups
    assert group.tables[0].title == "What the plan does"
    assert any("Validation" in table.title for table in group.tables) and group.figures == [] and group.lead
    assert page.words == ["The plan makes self-attention sparse at 15 s and longer: 7 of 11 sites."]
    assert page.said == "1 plan"


@pytest.mark.parametrize("kinds", [("query",), ("crop",), ("query", "crop")])
def test_the_caption_of_maps_is_of_the_kept_pieces(kinds, tmp_path):
    run = report_runs.write_capture(tmp_path / "run")
    pieces = read_arrays(run)
    (run / "arrays" / "0-10.safetensors").unlink()
    write_arrays(run / "arrays" / "0-10.safetensors", {name: a for name, a in pieces.items() if name.startswith(kinds)})
    page = write_report([run], tmp_path / "page.html")[0].read_text()
    assert ("the token is in the square" in page) == ("query" in kinds)
    assert ("the bar above is F tokens long" in page) == ("crop" in kinds)


def test_clips_beyond_what_a_page_holds_are_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.report.html.clips.MOST_SAMPLES", 5 * report_runs.RATE)
    report_runs.write_sounds(tmp_path, ("rain", "a siren"))
    heard = write_report([tmp_path], tmp_path / "report.html")[1]
    clips = [
        clip for group in heard.sections[-2].groups for comparison in group.comparisons for clip in comparison.clips
    ]
    assert len(clips) == 2 and any("samples" in gap for gap in heard.sections[-1].gaps)
