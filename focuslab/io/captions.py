"""Captions from a file, by what it holds (lines of text, CSV, a JSON array or JSON Lines), and prompts."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from focuslab.checks import several, shown, text
from focuslab.errors import InputError
from focuslab.io.files import read_bytes
from focuslab.io.json_text import Room

COLUMNS = ("caption", "text", "prompt")
"""Names of the column that holds the captions, the first that is there."""
NAMES = ("audiocap_id", "youtube_id", "id", "file", "file_name", "audio")
"""Columns that may say which recording a caption belongs to."""

MOST_BYTES, MOST_CAPTIONS = 2**26, 1_000_000
"""The largest file that is read, and the most captions of one."""

_RECORDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a")
"""Endings that the name of a recording may have in a file of captions."""
_CSV = {".csv": ",", ".tsv": "\t"}
_JSON = (".json", ".jsonl", ".ndjson")
_TEXT = ("", ".txt", ".text", ".lst", ".list")
_MARKUP = ("<?xml", "<!doctype", "<html", "{\\rtf", "%pdf", "%yaml")
"""How text files begin whose lines are no captions."""
_EXPECTED = (
    "expected a text file with a caption in each line, a CSV file with a column caption, a JSON array of texts or of "
    'objects with a caption, or JSON Lines such as {"caption": "rain on a tin roof"}'
)


@dataclass(frozen=True)
class Caption:
    """names: what a recording of it may be called, without directory and ending."""

    text: str
    names: tuple[str, ...] = ()


def read_captions(file: Path) -> list[Caption]:
    """Read all captions of a file, in its order.

    A file is JSON or CSV if its name says so or its content is; a name that ends in neither, nor as a text file's, is
    refused unless its content is. A line of a text file ends in a newline and in nothing else. White space within a
    caption counts as one space, and empty lines are skipped.

    Raises
    ------
    InputError
        Names the file, and the line or entry: the file is missing, not in UTF-8, of another kind or without captions,
        or a caption is empty or no text.
    """
    content = _read(file)
    captions = list(islice(_reader(file, content)(content, file), MOST_CAPTIONS + 1))
    if not captions:
        raise InputError(f"{file} holds no caption: {_EXPECTED}")
    if len(captions) > MOST_CAPTIONS:
        raise InputError(f"{file} holds more than {MOST_CAPTIONS} captions: give a part of it")
    return captions


def read_prompts(file: Path) -> list[str]:
    """The texts of `read_captions`."""
    return [caption.text for caption in read_captions(file)]


def _read(file: Path) -> str:
    content = read_bytes(file, _EXPECTED.removeprefix("expected "), most=MOST_BYTES, links=True)
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded:
        raise InputError(f"{file} is no text in UTF-8: {_EXPECTED}")
    return decoded


def _reader(file: Path, content: str):
    ending = file.suffix.lower()
    if content.lstrip().lower().startswith(_MARKUP):
        raise InputError(f"{file} is of a kind that is not read: {_EXPECTED}")
    if ending in _JSON or _is_json(content, file):
        return _json
    if ending in _CSV or _is_csv(content):
        return _csv
    if ending not in _TEXT:
        raise InputError(f"{file} is of a kind that is not read ({ending}): {_EXPECTED}")
    return _lines


def _lines(content: str, _file: Path) -> Iterator[Caption]:
    for line in content.split("\n"):
        if line.strip():
            yield Caption(" ".join(line.split()))


def _is_csv(content: str) -> bool:
    """Whether the first line is a header with a column of captions beside others."""
    header = content.partition("\n")[0].rstrip("\r")
    return any(
        _column(_fields(header, delimiter)) and re.fullmatch(rf'"?\w+"?(?:{delimiter}"?\w+"?)+', header)
        for delimiter in ",;\t"
    )


def _csv(content: str, file: Path) -> Iterator[Caption]:
    delimiter, header = _CSV.get(file.suffix.lower(), ","), content.partition("\n")[0]
    if named := re.match(r"sep=(.)\r?\n", content):
        # Excel writes such a line, and hides it.
        delimiter, content = named[1], content[named.end() :]
    else:
        others = [other for other in ",;\t" if _column(_fields(header, other))]
        delimiter = delimiter if delimiter in others or not others else others[0]
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True, delimiter=delimiter)
    try:
        fields = reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        column = _column(fields)
        if column is None:
            there = f"only {shown(fields)}" if fields else "it is empty"
            raise InputError(f"{file} has no column 'caption' ({there}): {_EXPECTED}")
        if fields.count(column) > 1:
            raise InputError(f"{file} has several columns {column!r}: expected one, a row for each caption")
        for row in reader:
            if None in row or None in row.values():
                found = len(fields) + len(row[None]) if None in row else sum(v is not None for v in row.values())
                raise InputError(
                    f"{file} has {found} fields in line {reader.line_num} and {len(fields)} in its header: "
                    "put captions that hold commas in quotes"
                )
            yield _caption(row, f"{file} in line {reader.line_num}")
    except csv.Error as error:
        raise InputError(f"{file} is damaged after line {reader.line_num} ({error}): {_EXPECTED}") from None


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip().strip('"').lower() for field in line.split(delimiter)]


def _column(names: Mapping | list[str]) -> str | None:
    return next((name for name in COLUMNS if name in names), None)


def _is_json(content: str, file: Path) -> bool:
    """Whether it is a JSON array or object, begins as one over several lines, or has an object in its first line."""
    first = next((line for line in content.split("\n") if line.strip()), "").strip()
    return first in ("[", "{") or any(isinstance(_parsed(part, file), (list, dict)) for part in (first, content))


def _json(content: str, file: Path) -> Iterator[Caption]:
    entries = _parsed(content, file) if content.lstrip().startswith("[") else None
    if isinstance(entries, list):
        for number, entry in enumerate(entries, start=1):
            yield _caption(entry, f"{file} in entry {number}")
        return
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            where = f"{file} in line {number}"
            yield _caption(_parsed(line, where), where)


def _parsed(content: str, source: Path | str) -> Any:
    """The value of a JSON text, None where it is none. Raises `InputError` where it would take too much memory."""
    Room().take(content.encode(), str(source))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _caption(entry: Any, where: str) -> Caption:
    """A caption from a text, or from an object with one."""
    row = {COLUMNS[0]: entry} if isinstance(entry, str) else entry
    column = _column(row) if isinstance(row, Mapping) else None
    if isinstance(row, Mapping) and "kind" in row and not isinstance(row.get(column), str):
        raise InputError(f"{where} is a record of a run of focuslab, not a caption: {_EXPECTED}")
    if column is None:
        raise InputError(f"{where} has no caption: {_EXPECTED}")
    found = " ".join(text(f"{where}: a caption", row[column]).split())
    names = [str(row[name]) for name in NAMES if isinstance(row.get(name), (str, int)) and str(row[name]).strip()]
    return Caption(found, tuple(dict.fromkeys(stem for name in names for stem in _stems(name))))


def _stems(name: str) -> tuple[str, ...]:
    last = PurePosixPath(name.strip().replace("\\", "/"))
    stem = last.stem if last.suffix.lower() in _RECORDINGS else last.name
    # Downloaders put a Y before YouTube's ids, so that no file begins with a dash.
    return stem, f"Y{stem}"


CHOICE_PROMPTS = (
    "falling rain",
    "a ringing church bell",
    "slow chords on a grand piano",
    "a fast emergency siren in the distance",
)
VALIDATION_PROMPTS = ("ocean waves", "a fast drum loop", "a rising melody on a solo violin", "a passing train")
"""Of the words that the bundled model knows, and of sounds that any model for sound knows."""


def check_prompts(prompts: Iterable[str] | str) -> list[str]:
    """The prompts as a list. Raises `InputError` for none, one that is no text, and one that is there twice."""
    prompts = [text("a prompt", prompt) for prompt in several(prompts)]
    if not prompts:
        raise InputError("no prompt given: expected one or more, each a text")
    if len(set(prompts)) < len(prompts):
        again = next(prompt for i, prompt in enumerate(prompts) if prompt in prompts[:i])
        raise InputError(f"the prompt {again!r} was given twice: with one seed it is the same clip")
    return prompts
