"""Reading of run directories: by `ProfileRun.load` and the like, and by the page, which leaves out what is wrong.

Each function raises `InputError` for whatever is wrong. With a list as `gaps` it leaves out what is wrong instead, adds
a line to the list for each such part, and raises only where nothing is left.
"""

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.runs import kinds
from focuslab.runs.checked import checked, salvaged
from focuslab.runs.directory import RECORDS, RUN, SUMMARY
from focuslab.runs.folder import Folder, or_gap
from focuslab.runs.info import RunInfo
from focuslab.runs.records import parse_record
from focuslab.runs.schemas.attention import Attention
from focuslab.runs.schemas.choice import Proof, Recommendation
from focuslab.runs.schemas.evaluation import Evaluation
from focuslab.runs.schemas.profile import Profile
from focuslab.runs.schemas.run import Info, Measurement
from focuslab.runs.schemas.types import Record

SUMMARIES: dict[str, type[Record]] = {
    kinds.PROFILE_SCHEMA: Profile,
    kinds.ATTENTION_SCHEMA: Attention,
    kinds.EVALUATION_SCHEMA: Evaluation,
    kinds.RECOMMENDATION_SCHEMA: Recommendation,
    kinds.PROOF_SCHEMA: Proof,
    kinds.SENSITIVITY_SCHEMA: Record,  # nothing in it is read again
}
"""Schema of a summary -> its typed record."""
_MEASUREMENT = TypeAdapter(Measurement)


def load_info(folder: Folder, gaps: list[str] | None = None) -> RunInfo:
    """How a run was made."""
    source = folder.name(RUN)
    content = kinds.check_schema(folder.read_json(RUN), kinds.RUN_SCHEMA, source)
    if gaps is None:
        return RunInfo.from_json(content, source)
    fields = salvaged(content, Info, source, gaps)
    fields["model"] = {name: value for name, value in fields["model"].items() if value is not None}
    known = {name: fields[name] for name in Info.model_fields}
    return RunInfo(**{**known, "prompts": tuple(fields["prompts"])})


def load_summary(
    folder: Folder, command: str, schemas: Collection[str] = tuple(SUMMARIES), gaps: list[str] | None = None
) -> dict[str, Any]:
    """The summary of a run of this command, which has to be of one of these schemas."""
    if not folder.has(SUMMARY):
        raise InputError(
            f"{folder.shown} holds no {SUMMARY}: its {command} run was not finished; the same command resumes it"
        )
    source = folder.name(SUMMARY)
    content = folder.read_json(SUMMARY)
    schema = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if not isinstance(schema, str) or schema not in schemas:
        raise InputError(
            f"{source} holds {shown(schema)}, expected {' or '.join(map(repr, schemas))}: is it from another command "
            "or version?"
        )
    model = SUMMARIES[schema]
    return checked(content, model, source) if gaps is None else salvaged(content, model, source, gaps)


def load_records(folder: Folder, gaps: list[str] | None = None, most: int | None = None) -> list[dict[str, Any]]:
    """The records of a run, those of its first `most` lines."""
    source, records, damaged = folder.name(RECORDS), [], []
    content = b""
    with or_gap(gaps):
        content = folder.read(RECORDS)
        folder.room.take(content, source)
    lines = content.split(b"\n", most or -1)
    if most and len(lines) > most and lines.pop():
        damaged.append(f"{source} has more than {most} lines, and only those were read")
    for number, line in enumerate(lines, start=1):
        try:
            records += [check_measurement(parse_record(line, source, number), source, number)] if line else []
        except InputError as error:
            if gaps is None:
                raise
            damaged.append(str(error))
    if gaps is not None:
        gaps += damaged[:3] + [f"{source}: {len(damaged) - 3} more lines were left out"] * (len(damaged) > 3)
    return records


def check_not_emptied(folder: Folder, info: RunInfo) -> None:
    """Raises `InputError` for a finished run whose file of records is there and empty.

    It may be kept without that file: the summary has all that tables show.
    """
    if info.ended and folder.has(RECORDS) and not folder.read(RECORDS).strip():
        raise InputError(
            f"{folder.name(RECORDS)} is empty, but the run was finished, so its records are missing: copy the file "
            "again, or remove it to see the summary alone"
        )


def check_measurement(record: dict[str, Any], source: str, number: int) -> dict[str, Any]:
    """The record, if what all records have is right in it."""
    try:
        _MEASUREMENT.validate_python(record)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        raise InputError(f"{source} is damaged in line {number}: its field {place[0]!r} is wrong") from None
    return record


def of_shape(records: Iterable[dict[str, Any]], shape: type[BaseModel]) -> list[dict[str, Any]]:
    """The records that have this shape, without fields that are wrong and not needed."""
    found = []
    for record in records:
        try:
            found.append(salvaged(record, shape, RECORDS, []))
        except InputError:
            continue
    return found
