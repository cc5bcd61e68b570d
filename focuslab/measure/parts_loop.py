"""The loop of a measurement that can be stopped anywhere and resumed."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from focuslab.hooks.memory import naming_what_did_not_fit
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now

Say = Callable[[float, str], None]
"""Called with the work done within an item, and what was just done."""


@dataclass(frozen=True)
class Item:
    """Parts of the work that share what is prepared for them."""

    what: str  # such as "the sensitivity pass at 20 s", where it runs out of memory
    parts: Mapping[Hashable, float]  # what each part's records are of -> its work, in any unit
    # Measures the parts of these keys, and puts each into the run at once.
    measure: Callable[[Sequence[Hashable], Say], None]
    preparing: float = 0.0  # the work that precedes the parts

    def work(self, parts: Sequence[Hashable]) -> float:
        return self.preparing + sum(self.parts[part] for part in parts) if parts else 0.0


def measure_all(
    pipe,
    run: RunDirectory,
    items: Sequence[Item],
    done: set[Hashable],
    summarise: Callable[[], dict[str, Any]],
    progress: Progress | None,
) -> None:
    """Measure the parts that are not `done`, and write the summary, also where something stops the work.

    Raises `FocuslabError` that names the item where it runs out of memory.
    """
    left = [(item, [part for part in item.parts if part not in done]) for item in items]
    total = sum(item.work(list(item.parts)) for item in items)
    finished = total - sum(item.work(parts) for item, parts in left)
    try:
        for item, parts in left:

            def say(within: float, text: str, before: float = finished) -> None:
                if progress:
                    progress(before + within, total, text)

            if parts:
                with naming_what_did_not_fit(pipe, item.what, "leave out this length", run.kept):
                    item.measure(parts, say)
            finished += item.work(parts)
    finally:
        run.write_summary(summarise())
    run.note(ended=run.info.ended or now())
