"""A plan's place on disk: the file itself, and the directory of its name with how it was chosen. Needs no torch."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from focuslab.errors import InputError
from focuslab.io.files import check_place, read_bytes
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun, ValidationRun
from focuslab.runs import RECOMMENDATION_SCHEMA, RunInfo
from focuslab.runs.directory import RUN, SUMMARY, RunDirectory, check_run_place, now, read_json, to_json_bytes
from focuslab.runs.plan import PlanSpec
from focuslab.search.budget import Budget
from focuslab.search.select import Selection, select


def plan_directory(path: Path) -> Path:
    """Where the summary, the figures and the validation of a plan are."""
    return path.with_suffix("")


def check_plan_path(out: str | os.PathLike, force: bool) -> Path:
    """Raises `InputError` for a name that does not end in .json, and for a file that lies there by itself or that
    somebody has changed."""
    path = Path(out)
    if path.suffix != ".json":
        raise InputError(f"a plan is written as JSON: expected a name that ends in .json, not {path}")
    check_place(path, "give another --out")
    if path.is_dir() or (path.exists() and not force and not (plan_directory(path) / RUN).exists()):
        raise InputError(f"{path} exists already: give another --out, or --force to replace it")
    summary = plan_directory(path) / SUMMARY
    if path.exists() and not force and summary.exists():
        written = read_json(summary).get("plan_files")
        # Earlier versions did not note what they wrote.
        if written is not None and _digest(read_bytes(path, links=True)) not in written:
            raise InputError(f"{path} was changed by hand: give another --out, or --force to replace it")
    return path


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def check_same(path: Path, info: RunInfo, force: bool) -> None:
    """Raises `InputError` where the plan's directory belongs to another choice, which `force` replaces, or is none of
    a plan; nothing is made where there is none."""
    directory = plan_directory(path)
    if not directory.exists():
        return
    if force:
        check_run_place(directory)
    else:
        with RunDirectory(directory, info):
            pass


def choose_from_records(
    profile: ProfileRun,
    sensitivity: SensitivityRun,
    attention: AttentionRun | None,
    *,
    seconds: Sequence[float],
    budget: Budget,
    out: str | os.PathLike,
    force: bool = False,
) -> tuple[Path, Selection]:
    """Choose a plan from records alone and write it, without a validation.

    See `focuslab.workflows.recommend.recommend`.
    """
    path = check_plan_path(out, force)
    asked_for = {"seconds": list(seconds), **vars(budget), "proved": False}
    info = replace(sensitivity.info, command="recommend", parameters=asked_for, started=None, ended=None)
    check_same(path, info, force)
    selection = select(profile, sensitivity, attention, seconds=seconds, budget=budget)
    with RunDirectory(plan_directory(path), info, force=force) as run:
        publish(path, run, selection, selection.plan, None)
    return path, selection


def publish(
    path: Path, run: RunDirectory, selection: Selection, plan: PlanSpec, validation: ValidationRun | None
) -> None:
    """Write the plan, and its summary into its directory, which `run` is."""
    summary: dict[str, Any] = {
        "schema": RECOMMENDATION_SCHEMA,
        "choice": selection.summary,
        "proof": validation.summary if validation else None,
        "quality": plan.evidence.get("quality"),
        "objective": plan.evidence.get("objective"),
        "notes": list(selection.notes),
        # The file that is there and the one that takes its place: a kill may come in between.
        "plan_files": [
            *([_digest(read_bytes(path, links=True))] if path.exists() else []),
            _digest(to_json_bytes(plan.to_json())),
        ],
    }
    run.write_summary(summary)
    # `check_plan_path` and the directory's own check have made sure that it may be replaced.
    plan.write(path, force=True)
    run.note(ended=run.info.ended or now())
