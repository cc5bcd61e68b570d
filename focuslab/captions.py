"""Captions from a file: a text with one in each line, a CSV as AudioCaps has it, or JSON Lines."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from focuslab.errors import InputError

COLUMNS = ("caption", "text", "prompt")
"""Names of the column that holds the captions, the first that is there."""
NAMES = ("audiocap_id", "youtube_id", "id", "file", "file_name", "audio")
"""Columns that may say which recording a caption belongs to."""


@dataclass(frozen=True)
class Caption:
    """names: what a recording of it may be called, without directory and ending."""

    text: str
    names: tuple[str, ...] = ()


def read_captions(file: Path) -> list[Caption]:
    """All captions of a file, in its order: `.csv` and `.tsv` with a header, `.jsonl` with an object a line, any other
    as text. White space within a caption counts as one space.

    Raises `InputError` naming the file, and the line, for a file that is not there, not in UTF-8, without captions,
    or with an empty one.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    read: Callable[[Path], Iterator[Caption]] = readers.get(file.suffix.lower(), _lines)
    captions = list(read(file))
    if not captions:
        raise InputError(f"{file} holds no caption: expected {_EXPECTED[read]}")
    return captions


def read_prompts(file: Path) -> list[str]:
    """The lines of a text file that are not blank, without the space around them. Raises `InputError`."""
    lines = _text(file, "a text file with a prompt in each line").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError(f"{file} holds no prompt: expected one in each line")
    return prompts


def _lines(file: Path) -> Iterator[Caption]:
    for line in read_prompts(file):
        yield Caption(" ".join(line.split()))


def _csv(file: Path) -> Iterator[Caption]:
    expected = _EXPECTED[_csv]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(_text(file, expected), newline=""), strict=True, delimiter=delimiter)
    try:
        fields = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = fields
        column = next((name for name in COLUMNS if name in fields), None)
        if column is None:
            there = f"only {', '.join(map(repr, fields))}" if fields else "it is empty"
            raise InputError(f"{file} has no column 'caption' ({there}): expected {expected}")
        for row in reader:
            if None in row or None in row.values():
                found = len(fields) + len(row[None]) if None in row else sum(v is not None for v in row.values())
                raise InputError(
                    f"{file} has {found} fields in line {reader.line_num} and {len(fields)} in its header: "
                    "put captions that hold commas in quotes"
                )
            yield _caption(row, column, f"{file} in line {reader.line_num}")
    except csv.Error as error:
        raise InputError(f"{file} is damaged after line {reader.line_num} ({error}): expected {expected}") from None


def _json_lines(file: Path) -> Iterator[Caption]:
    for number, line in enumerate(_text(file, _EXPECTED[_json_lines]).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        column = next((name for name in COLUMNS if name in row), None) if isinstance(row, dict) else None
        if column is None:
            raise InputError(f"{file} has no caption in line {number}: expected {_EXPECTED[_json_lines]}")
        yield _caption(row, column, f"{file} in line {number}")


def _text(file: Path, expected: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): expected {expected}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text in UTF-8: expected {expected}") from None


def _caption(row: dict[str, Any], column: str, where: str) -> Caption:
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where} has {text!r} for a caption: expected a text, or no such line")
    names = [str(row[name]) for name in NAMES if isinstance(row.get(name), (str, int)) and str(row[name]).strip()]
    return Caption(" ".join(text.split()), tuple(dict.fromkeys(stem for name in names for stem in _stems(name))))


def _stems(name: str) -> tuple[str, ...]:
    last = PurePosixPath(name.strip().replace("\\", "/")).name
    stem = last[:-4] if last.lower().endswith(".wav") else last
    # Downloaders put a Y before YouTube's ids, so that no file begins with a dash.
    return stem, f"Y{stem}"


_EXPECTED = {
    _lines: "a caption in each line",
    _csv: "a header with the column caption, such as AudioCaps' own: audiocap_id,youtube_id,start_time,caption",
    _json_lines: 'an object in each line, such as {"caption": "rain on a tin roof"}',
}
