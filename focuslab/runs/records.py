"""Measurements as lines of JSON: appended one by one, and whole again after a kill."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from focuslab.errors import InputError
from focuslab.io.files import append_bytes, failed, open_to_change
from focuslab.io.json_text import Room, compact

_BLOCK = 1 << 16
"""Bytes that are looked through at a time for the end of a line."""


def append_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records to a file of lines; they are on disk when this returns."""
    lines = to_lines(records)
    try:
        append_bytes(path, lines)
    except OSError as error:
        raise failed(path, error) from None


def cut_broken_line(path: Path) -> None:
    """Cut a last line that a kill broke off from a file of lines, where there is one."""
    if not path.exists():
        return
    with open(open_to_change(path), "r+b") as file:
        end = whole = file.seek(0, os.SEEK_END)
        while whole:
            start = max(0, whole - _BLOCK)
            file.seek(start)
            newline = file.read(whole - start).rfind(b"\n")
            whole = start + newline + 1
            if newline >= 0:
                break
        if whole < end:
            file.truncate(whole)


def to_lines(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(f"{compact(record)}\n" for record in records).encode()


def parse_records(content: bytes, source: str) -> list[dict[str, Any]]:
    """The records in the content of a records.jsonl. Raises `InputError` naming the line that is none."""
    Room().take(content, source)
    return [parse_record(line, source, number) for number, line in enumerate(content.splitlines(), start=1)]


def parse_record(line: bytes, source: str, number: int) -> dict[str, Any]:
    """One record from its line. Raises `InputError` naming source and line if it is none."""
    try:
        record = from_json(line, allow_inf_nan=False)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(f"{source} is damaged in line {number}: expected a JSON object")
    return record
