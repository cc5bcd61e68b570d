"""JSON as it is written, small, and as it is read: somebody else may have written it, so neither so much of it nor so
deep that it could not be held and shown."""

import json
from collections.abc import Mapping
from typing import Any

from focuslab.errors import InputError

MOST_MEMORY = 2**29
"""Bytes that a text may take as Python objects; many small lists take thirty times the bytes of the text."""
DEEPEST = 60
"""Levels of nesting."""


def compact(value: Any) -> str:
    """JSON on one line without spaces. Raises `ValueError` for NaN and infinity, which other readers refuse."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_summary_bytes(summary: Mapping[str, Any]) -> bytes:
    """JSON with a line for each field and for each row of a table: small, and a diff shows which rows changed."""

    def written(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(map(compact, value)) + "\n]"
        return compact(value)

    fields = ",\n".join(f"{compact(name)}:{written(value)}" for name, value in summary.items())
    return f"{{\n{fields}\n}}\n".encode()


class Room:
    """What may still be read: bytes of memory that it takes as Python objects, in one file or in several together."""

    def __init__(self, most: int = MOST_MEMORY):
        self.left = most

    def take(self, content: bytes, source: str) -> None:
        """Take what a JSON text, or many lines of it, will need. Raises `InputError` where that is too much."""
        # Measured with CPython: an empty list takes 64 bytes, an object of a few fields 230, a field or an item about
        # 70. A text with one rare character takes four bytes for each of them, as a whole and in its parts.
        a_character = 2 if content.isascii() else 8
        items = content.count(b",") + content.count(b":")
        memory = a_character * len(content) + 70 * items + 64 * content.count(b"[") + 230 * content.count(b"{")
        if memory > self.left:
            raise InputError(
                f"{source} holds too much: it would take about {memory >> 20} MB of memory, and {self.left >> 20} MB "
                "are left for it"
            )
        self.left -= memory


def parse_json(content: bytes, source: str, room: Room | None = None) -> Any:
    """The value of a JSON text; NaN and infinity, which are no JSON, become text, so that no check takes them for
    numbers. Raises `InputError` naming `source` for a damaged, too deep or too large one."""
    (room or Room()).take(content, source)
    try:
        value = json.loads(content, parse_constant=str)
    except RecursionError:
        value = content
    except ValueError as error:
        raise InputError(f"{source} cannot be read ({error})") from None
    if value is content or _is_too_deep(value):
        raise InputError(f"{source} is nested too deep: expected at most {DEEPEST} levels")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for parent in level
            if isinstance(parent, (list, dict))
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
