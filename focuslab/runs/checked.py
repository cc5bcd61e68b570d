"""Content of files checked against typed records: refused where something is wrong, or relieved of what is wrong."""

import copy
from typing import Any

from pydantic import BaseModel, ValidationError

from focuslab.checks import shown
from focuslab.errors import InputError

_EXPECTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "text",
    "string_unicode": "text that UTF-8 can hold",
    "string_too_short": "text of {min_length} or more characters",
    "string_too_long": "text of at most {max_length} characters",
    "bool_type": "true or false",
    "too_long": "at most {max_length} entries",
    "too_short": "{min_length} or more entries",
    "string_pattern_mismatch": "letters, digits, _ and dots",
    "extra_forbidden": "no field of this name",
}
"""Type of an error of pydantic -> what was expected."""

MOST_WRONG = 20_000
"""Parts of a file that are told one by one."""

Place = tuple[str | int, ...]
"""Fields and indices on the way to a part."""


def checked(content: Any, model: type[BaseModel], source: str) -> dict[str, Any]:
    """`content` as a dict, with the defaults of absent fields.

    Raises
    ------
    InputError
        In one line: the first field of `source` that is wrong, what it holds, and what was expected.
    """
    try:
        return model.model_validate(content).model_dump(warnings=False)
    except ValidationError as error:
        raise InputError(f"{source}: {_described(error.errors(include_url=False)[0])}") from None


def salvaged(content: Any, model: type[BaseModel], source: str, gaps: list[str]) -> dict[str, Any]:
    """`content` as a dict, without what is wrong in it; a line in `gaps` for each such part.

    A wrong field is taken out, and where the record around it cannot be without, the record is.

    Raises
    ------
    InputError
        Nothing of it is left, in one line as `checked` says it.
    """
    taken: dict[Place, str] = {}
    while True:
        try:
            return model.model_validate(content).model_dump(warnings=False)
        except ValidationError as error:
            if error.error_count() > MOST_WRONG:
                raise InputError(f"{source} is wrong in more than {MOST_WRONG} places") from None
            errors = error.errors(include_url=False)
        content = content if taken else copy.deepcopy(content)
        found: dict[Place, tuple[str, Any]] = {}
        told: set[Place] = set()
        for wrong in errors:
            place = tuple(part for part in wrong["loc"] if part != "[key]")
            # What an earlier round took out is now missing, and was told then.
            why = taken.get(place) or f"{source}: {_described(wrong)}"
            target = place[:-1] if wrong["type"] == "missing" else place
            if not target:
                raise InputError(why)
            found.setdefault(target, (why, wrong))
            told |= {target} if place in taken else set()
        # Fields before items of lists, since the places of the later items change with those.
        fields = [target for target in found if isinstance(target[-1], str)]
        for target in fields or sorted(found, reverse=True):
            why, wrong = found[target]
            taken[target] = why
            left_out = "the rest is left out" if wrong["type"] == "too_long" else "left out"
            gaps += [] if target in told else [f"{why}; {left_out}"]
            _take_out(content, target, wrong)


def _take_out(content: Any, place: Place, wrong: Any) -> None:
    *above, last = place
    for key in above:
        if isinstance(content, dict) and key not in content:
            return  # it was taken out as a whole
        content = content[key]
    if wrong["type"] == "too_long" and isinstance(content[last], list):
        del content[last][wrong["ctx"]["max_length"] :]
    else:
        del content[last]


def _described(wrong: Any) -> str:
    place = tuple(part for part in wrong["loc"] if part != "[key]")
    if wrong["type"] == "missing":
        where = f"{written(place[:-1])} lacks" if place[:-1] else "it lacks"
        return f"{where} the field {place[-1]!r}"
    expected = _EXPECTED.get(wrong["type"], wrong["msg"])
    expected = expected.format(**wrong.get("ctx", {})) if expected in _EXPECTED.values() else expected
    return f"{written(place) or 'it'} is {shown(wrong['input'])}: expected {expected}"


def written(place: Place) -> str:
    """A place as one writes it: rows[0].peak_bytes."""
    text = ""
    for part in place:
        if isinstance(part, str) and part.isidentifier() and len(part) <= 60:
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text
