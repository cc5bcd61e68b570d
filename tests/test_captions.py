"""Captions of every kind of file, and one line for every wrong one."""

import csv
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.captions import Caption, read_captions
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


def test_audiocaps_as_it_is(file):
    captions = read_captions(file("test.csv", AUDIOCAPS))
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


def test_text_and_json_lines(file):
    assert read_captions(file("a.txt", "\n rain  on a roof \n\nwind\n")) == [Caption("rain on a roof"), Caption("wind")]
    lines = '{"audio": "clips/one.WAV", "caption": "rain"}\n\n{"text": "wind"}\n'
    assert read_captions(file("a.jsonl", lines)) == [Caption("rain", ("one", "Yone")), Caption("wind")]


def test_a_tab_separated_file_and_a_header_in_capitals(file):
    assert texts(read_captions(file("a.tsv", "ID\tCaption\n1\train, wind\n"))) == ["rain, wind"]


WRONG = {
    "no such file": ("none.csv", None, "No such file"),
    "empty csv": ("a.csv", "", "has no column 'caption' (it is empty)"),
    "no caption column": ("a.csv", "id,title\n1,rain\n", "no column 'caption' (only 'id', 'title')"),
    "only a header": ("a.csv", "id,caption\n", "holds no caption"),
    "unquoted comma": ("a.csv", "id,caption\n1,a dog, then a cat\n", "3 fields in line 2 and 2 in its header"),
    "missing field": ("a.csv", "id,caption\n1\n", "1 fields in line 2"),
    "quote not closed": ("a.csv", 'id,caption\n1,"rain\n', "damaged after line 1"),
    "empty caption": ("a.csv", "id,caption\n1,rain\n2, \n", "line 3 has ' ' for a caption"),
    "wrong encoding": ("a.csv", "id,caption\n1,Grüße\n".encode("latin-1"), "no text in UTF-8"),
    "utf-16": ("a.txt", "rain".encode("utf-16"), "no text in UTF-8"),
    "empty text": ("a.txt", "\n\n", "holds no"),
    "no object": ("a.jsonl", '{"caption": "rain"}\n["wind"]\n', "no caption in line 2"),
    "no json": ("a.jsonl", "rain\n", "no caption in line 1"),
    "number for a caption": ("a.jsonl", '{"caption": 3}', "line 1 has 3 for a caption"),
    "no lines": ("a.jsonl", "\n", "holds no caption"),
}


@pytest.mark.parametrize("name, content, message", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line(file, tmp_path, name, content, message):
    path = tmp_path / name if content is None else file(name, content)
    with pytest.raises(InputError) as caught:
        read_captions(path)
    assert message in str(caught.value) and "\n" not in str(caught.value) and str(path) in str(caught.value)
