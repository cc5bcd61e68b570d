"""Captions of every kind of file, and one line for every wrong one."""

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.io.captions import Caption, read_captions, read_prompts
from tests.loading import InputError

AUDIOCAPS = """audiocap_id,youtube_id,start_time,caption
103549,7fmOlUlwoNg,20,Constant rattling noise and sharp vibrations
103541,-6BJ455B1aAs,0,"A rocket flies by, then a ""loud"" explosion"
103542,GOD8Bt5LfDE,100,"Humming
 and vibrating"
"""


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def texts(captions):
    return [caption.text for caption in captions]


@pytest.mark.parametrize("name", ["test.csv", "test.txt", "test"])
def test_audiocaps_as_it_is(file, name):
    captions = read_captions(file(name, AUDIOCAPS))
    assert texts(captions) == [
        "Constant rattling noise and sharp vibrations",
        'A rocket flies by, then a "loud" explosion',
        "Humming and vibrating",
    ]
    assert captions[0].names == ("103549", "Y103549", "7fmOlUlwoNg", "Y7fmOlUlwoNg")
    assert "Y-6BJ455B1aAs" in captions[1].names


def test_with_a_mark_at_the_start_and_windows_line_ends(file):
    assert (
        read_captions(file("test.csv", "\ufeff" + AUDIOCAPS.replace("\n", "\r\n")))[2].text == "Humming and vibrating"
    )


@pytest.mark.parametrize(
    "content",
    [
        "id;caption\n1;rain, wind\n2;a bell\n",
        "id\tcaption\n1\train, wind\n2\ta bell\n",
        'id,caption\n1,"rain, wind"\n2,a bell\n',
        '"id";"Caption"\r\n1;"rain, wind"\r\n2;a bell\r\n',
        "sep=;\nid;caption\n1;rain, wind\n2;a bell\n",
        "caption;id\nrain, wind;1\na bell;2\n",
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_may_be_separated_by_commas_semicolons_or_tabs(file, content, ending):
    assert texts(read_captions(file(f"a.{ending}", content))) == ["rain, wind", "a bell"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1, max_size=4))
def test_whatever_a_caption_holds_it_comes_back(tmp_path_factory, captions):
    folder = tmp_path_factory.mktemp("captions")
    expected = [" ".join(caption.split()) for caption in captions]
    # The csv module writes NUL and reads it not everywhere.
    if not any("\0" in caption for caption in captions):
        with open(folder / "a.csv", "w", encoding="utf-8", newline="") as content:
            csv.writer(content).writerows([["id", "caption"], *([i, caption] for i, caption in enumerate(captions))])
        assert texts(read_captions(folder / "a.csv")) == expected
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"caption": caption}) for caption in captions))
    assert texts(read_captions(folder / "a.jsonl")) == expected
    for indent in (None, 2):
        (folder / "a.json").write_text(json.dumps([*captions, {"id": 3, "caption": captions[0]}], indent=indent))
        assert texts(read_captions(folder / "a.json")) == [*expected, expected[0]]


def test_text_and_json_lines(file):
    assert read_captions(file("a.txt", "\n rain  on a roof \n\nwind\n")) == [Caption("rain on a roof"), Caption("wind")]
    lines = '{"audio": "clips/one.WAV", "caption": "rain"}\n\n{"text": "wind", "file": "two.flac"}\n'
    assert read_captions(file("a.jsonl", lines)) == [Caption("rain", ("one", "Yone")), Caption("wind", ("two", "Ytwo"))]
    assert texts(read_captions(file("a.jsonl", '"rain"\n"wind"\n'))) == ["rain", "wind"]


@pytest.mark.parametrize("mark", "\u2028 \u2029 \u0085 \v \f \x1c \x1d \x1e \r".split(" "))
def test_a_line_ends_in_a_newline_only(file, mark):
    path = file("a.txt", f"rain{mark}on a roof\r\nwind\n")
    assert texts(read_captions(path)) == ["rain on a roof", "wind"]
    assert read_prompts(path) == ["rain on a roof", "wind"]
    lines = json.dumps({"caption": f"rain{mark}on a roof"}, ensure_ascii=False)
    assert texts(read_captions(file("a.jsonl", f"{lines}\n"))) == (["rain on a roof"])


OBJECTS = '[\n {"id": 1, "caption": "rain"},\n {"id": 2, "caption": "wind"}\n]\n'


@pytest.mark.parametrize("name", ["captions.json", "captions.txt", "captions.jsonl", "captions.csv", "captions"])
@pytest.mark.parametrize(
    "content", [OBJECTS, '["rain", "wind"]', '{"caption": "rain"}\n{"caption": "wind"}\n'], ids=str.split
)
def test_json_is_known_by_what_it_holds(file, name, content):
    path = file(name, content)
    assert texts(read_captions(path)) == ["rain", "wind"] == read_prompts(path)


def test_text_that_looks_a_little_like_something_else_is_text(file):
    for lines in (["[rain] falls", "wind"], ["{rain", "wind"], ["rain, text", "wind"], ["<rain>", "caption"]):
        assert texts(read_captions(file("a.txt", "\n".join(lines)))) == lines


WRONG = {
    "no such file": ("none.csv", None, "does not exist"),
    "empty csv": ("a.csv", "", "has no column 'caption' (it is empty)"),
    "no caption column": ("a.csv", "id,title\n1,rain\n", "no column 'caption' (only ['id', 'title'])"),
    "two caption columns": ("a.csv", "id,caption,caption\n1,rain,wind\n", "several columns 'caption'"),
    "only a header": ("a.csv", "id,caption\n", "holds no caption"),
    "unquoted comma": ("a.csv", "id,caption\n1,a dog, then a cat\n", "3 fields in line 2 and 2 in its header"),
    "missing field": ("a.csv", "id,caption\n1\n", "1 fields in line 2"),
    "quote not closed": ("a.csv", 'id,caption\n1,"rain\n', "damaged after line 1"),
    "empty caption": ("a.csv", "id,caption\n1,rain\n2, \n", "line 3: a caption must be text, not ' '"),
    "wrong encoding": ("a.csv", "id,caption\n1,Grüße\n".encode("latin-1"), "no text in UTF-8"),
    "utf-16": ("a.txt", "rain".encode("utf-16"), "no text in UTF-8"),
    "utf-16 without a mark": ("a.txt", "rain".encode("utf-16-le"), "no text in UTF-8"),
    "gzip": ("a.txt.gz", gzip.compress(b"rain\n"), "no text in UTF-8"),
    "xlsx": ("a.xlsx", b"PK\x03\x04" + bytes(20), "no text in UTF-8"),
    "parquet": ("a.parquet", b"PAR1\x15\x04\x00", "no text in UTF-8"),
    "xlsx that is text": ("a.xlsx", "rain\n", "kind that is not read (.xlsx)"),
    "yaml": ("a.yaml", "- rain\n- wind\n", "kind that is not read (.yaml)"),
    "html": ("a.txt", "\n<!DOCTYPE html>\n<p>rain</p>\n", "kind that is not read"),
    "xml": ("a.csv", "<?xml version='1.0'?><a/>\n", "kind that is not read"),
    "rtf": ("a.txt", "{\\rtf1 rain}\n", "kind that is not read"),
    "empty text": ("a.txt", "\n\n", "holds no"),
    "no object": ("a.jsonl", '{"caption": "rain"}\n["wind"]\n', "line 2 has no caption"),
    "no json": ("a.jsonl", "rain\n", "line 1 has no caption"),
    "text in json": ("a.json", "rain\nwind\n", "line 1 has no caption"),
    "number for a caption": ("a.jsonl", '{"caption": 3}', "line 1: a caption must be text, not 3"),
    "null for a caption": ("a.json", '["rain", null]', "entry 2 has no caption"),
    "several captions in one": ("a.json", '[{"caption": ["rain", "wind"]}]', "entry 1: a caption must be text"),
    "no captions in an array": ("a.json", "[]", "holds no caption"),
    "an object of captions": ("a.json", '{"one": "rain", "two": "wind"}', "line 1 has no caption"),
    "an object over lines": ("a.txt", '{\n "one": "rain"\n}', "line 1 has no caption"),
    "half an array": ("a.txt", OBJECTS[:-3], "line 1 has no caption"),
    "deep": ("a.json", "[" * 100_000, "line 1 has no caption"),
    "half a pair": ("a.jsonl", '{"caption": "rain \\ud83d"}\n', "UTF-8 can hold"),
    "half a pair in an array": ("a.json", '["rain", "\\udc00"]\n', "UTF-8 can hold"),
    "no lines": ("a.jsonl", "\n", "holds no caption"),
}


@pytest.mark.parametrize("name, content, message", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line(file, tmp_path, name, content, message):
    path = tmp_path / name if content is None else file(name, content)
    for read in (read_captions, read_prompts):
        with pytest.raises(InputError) as caught:
            read(path)
        said = str(caught.value)
        assert message in said and "\n" not in said and str(path) in said
        said.encode()


@pytest.mark.parametrize(
    "record", ['{"kind": "item", "prompt": 0, "method": "dense"}', '{"kind": "units", "names": []}']
)
def test_records_of_a_run_are_no_captions(file, record):
    with pytest.raises(InputError, match="in line 1 is a record of a run of focuslab, not a caption"):
        read_captions(file("records.jsonl", record))


def test_a_caption_may_have_a_field_called_kind(file):
    assert texts(read_captions(file("a.jsonl", '{"kind": "test", "caption": "rain"}'))) == ["rain"]
