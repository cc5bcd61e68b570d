"""The loop of every measurement: items that are not on disk are measured one by one, and the run is always whole."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from focuslab.hooks.attach import Handle
from focuslab.hooks.memory import LeftOut, check_fits, naming_what_did_not_fit
from focuslab.hooks.meta_cost import MetaCost, meta_cost, meta_decoding_peak, meta_unet
from focuslab.methods import AnyMethod
from focuslab.models.conditioning import unet_inputs
from focuslab.models.placement import device_of
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now

OTHER_LENGTH_OR_METHOD = "leave out this length or this method"


class Item(Protocol):
    """One thing to measure: its key, a title for errors, and its expected share of the work in any one unit."""

    @property
    def key(self) -> Hashable: ...
    @property
    def title(self) -> str: ...
    @property
    def weight(self) -> float: ...


SomeItem = TypeVar("SomeItem", bound=Item)
Report = Callable[[float, str], None]
"""Called with the share of an item that is done, and what was just done."""


@dataclass(frozen=True)
class Loop:
    """Measures items one after the other, and keeps the run whole.

    summarise: makes the summary of all records. instead: what a user can do where an item does not fit into memory.
    """

    pipe: Any
    run: RunDirectory
    summarise: Callable[[], dict[str, Any]]
    instead: str = OTHER_LENGTH_OR_METHOD
    progress: Progress | None = None

    def measure(
        self, items: Sequence[SomeItem], done: Collection[Hashable], work: Callable[[SomeItem, Report], None]
    ) -> None:
        """Measure the items whose keys are not `done`, and write the summary, also after an error.

        work: measures one item and appends its records. Raises `FocuslabError` where an item runs out of memory; the
        records before it are kept.
        """
        total = sum(item.weight for item in items)
        finished = sum(item.weight for item in items if item.key in done)

        def report(share: float, text: str) -> None:
            if self.progress:
                self.progress(finished + share * item.weight, total, text)

        try:
            for item in items:
                if item.key not in done:
                    with naming_what_did_not_fit(self.pipe, item.title, self.instead, self.run.kept):
                        work(item, report)
                    finished += item.weight
        finally:
            if self.run.records:
                self.run.write_summary(self.summarise())
        self.run.note(ended=self.run.info.ended or now())


Attached = Mapping[str, Callable[[Any], Handle]]
"""Label -> what attaches itself to a UNet."""


def meta_costs(
    pipe, conditioning: dict[str, Any], attached: Mapping[float, Attached], instead: str = OTHER_LENGTH_OR_METHOD
) -> tuple[dict[tuple[float, str], MetaCost], LeftOut]:
    """Run a step on meta tensors for each length in seconds and label, and leave out what does not fit into memory.

    Returns the dry run of each (length, label) that fits, and the records of those that do not. instead: what a user
    can do where nothing fits.
    """
    twin = meta_unet(pipe.unet)
    expected, left_out = {}, LeftOut()
    for seconds, by_label in attached.items():
        inputs = unet_inputs(pipe, conditioning, seconds)
        for label, attach in by_label.items():
            with left_out.unless_it_fits(seconds, method=label):
                what = f"{label} at {seconds:g} s"
                # Sampled keys are no meta tensors, so a length whose latents alone do not fit is not tried.
                check_fits(pipe, inputs["sample"].nbytes, what, instead)
                run = meta_cost(twin, inputs, attach, device_of(pipe))
                check_fits(pipe, run.peak_bytes, what, instead)
                expected[seconds, label] = run
    return expected, left_out


def dry_runs(
    pipe, conditioning: dict[str, Any], lengths: Sequence[float], label: str, attach: Callable[[Any], Handle]
) -> tuple[dict[float, MetaCost], list[dict[str, Any]]]:
    """A dry run at each length where it fits into memory, and records of the lengths where it does not.

    Raises `InputError` where it fits nowhere.
    """
    attached = {seconds: {label: attach} for seconds in lengths}
    expected, left_out = meta_costs(pipe, conditioning, attached, "leave out this length")
    left_out.refuse_if(not expected)
    skipped = [{key: value for key, value in record.items() if key != "method"} for record in left_out.records]
    return {seconds: run for (seconds, _), run in expected.items()}, skipped


def peak_of_clip(pipe, conditioning: dict[str, Any], seconds: float, method: AnyMethod, instead: str) -> int:
    """Bytes that a whole clip needs beside the weights, by dry runs of a step and of the decoding.

    Raises `InputError` where so much is not free; instead: what a user can do then.
    """
    what = f"a clip of {seconds:g} s"
    expected, left_out = meta_costs(pipe, conditioning, {seconds: {what: method.at_every_step()}}, instead)
    left_out.refuse_if(not expected)
    peak = max(expected[seconds, what].peak_bytes, meta_decoding_peak(pipe, seconds))
    check_fits(pipe, peak, what, instead)
    return peak


def grid_rows(run: Any) -> dict[str, list[int]]:
    """Site -> [T, F], as run.json has them, of a dry run or a handle."""
    return {name: [grid.time, grid.mel_rows] for name, grid in run.grids.items()}
