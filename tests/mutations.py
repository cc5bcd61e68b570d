"""Files as somebody else might have left them: changed at random, the same for the same generator."""

import copy
from random import Random
from typing import Any

ODD = (
    *(None, True, 0, 1, -1, 2**40, 10**400, 1e308, 5e-324, 1.5, float("nan"), float("inf")),
    *("", "x", "\n", "\x1b[31m", "\ud800", "a" * 3000, "<script>", "0.1", "../../etc/passwd", "\u202e"),
    *([], {}, [[]], [None], {"a": 1}, {"": None}, [1, 2, 3], [["x"] * 3] * 3, [0] * 1000),
)
"""Values that no field expects, or not all do."""


def changed(value: Any, random: Random) -> Any:
    """JSON with one to five of its parts lost, renamed, doubled, scaled or replaced."""
    value = copy.deepcopy(value)
    for _ in range(random.choice([1, 1, 2, 5])):
        parts = [(parent, key) for parent in _containers(value) for key in _keys(parent)[:50]]
        if not parts:
            return random.choice(ODD)
        parent, key = random.choice(parts)
        how = random.random()
        if how < 0.15:
            del parent[key]
        elif how < 0.25 and isinstance(parent, dict):
            parent[random.choice(["x", "seconds", "rows", "name", "\n", f"{key}x"])] = parent.pop(key)
        elif how < 0.35 and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif how < 0.5 and type(parent[key]) in (int, float):
            parent[key] *= random.choice([-1, 0, 1e-9, 1e9, 1000, 0.5])
        else:
            parent[key] = copy.deepcopy(random.choice(ODD))
    return value


def damaged(content: bytes, random: Random) -> bytes:
    """A file that was cut off, whose bits were turned, or that is another one."""
    place = random.randrange(max(1, len(content)))
    turned = bytearray(content)
    turned[place : place + 1] = bytes([random.randrange(256)])
    others = (b"", b"null", b"[]", b"\x00" * 100, b"[" * 100_000, b'"' + b"a" * 100_000 + b'"')
    return random.choice(
        [content[:place], bytes(turned), content + content, b"\xff\xfe" + content, random.choice(others)]
    )


def _containers(value: Any):
    if isinstance(value, (dict, list)):
        yield value
        for key in _keys(value):
            yield from _containers(value[key])


def _keys(value: Any) -> list:
    return list(value) if isinstance(value, dict) else list(range(len(value)))
