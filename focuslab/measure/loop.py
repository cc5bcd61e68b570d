"""The loop of every measurement: items that are not on disk are measured one by one, and the run is always whole."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from focuslab.hooks.attach import Handle
from focuslab.hooks.memory import LeftOut, naming_what_did_not_fit
from focuslab.hooks.meta_cost import DryRun, dry_run_that_fits, meta_unet
from focuslab.models.conditioning import unet_inputs
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now

OTHER_LENGTH_OR_METHOD = "leave out this length or this method"


class Item(Protocol):
    """One thing to measure.

    Attributes
    ----------
    key
        Tells it from the others, also in the records on disk.
    title : str
        What it is, for the error where it does not fit into memory.
    weight : float
        Its expected share of the work, in any one unit.
    """

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
    """Measures items one after the other.

    Attributes
    ----------
    pipe
        The pipeline that is measured.
    run : RunDirectory
        Where each measurement appends its records.
    summarise : Callable
        Makes the summary of all records.
    instead : str
        What a user can do where an item does not fit into memory.
    progress : Progress, optional
    """

    pipe: Any
    run: RunDirectory
    summarise: Callable[[], dict[str, Any]]
    instead: str = OTHER_LENGTH_OR_METHOD
    progress: Progress | None = None

    def measure(
        self, items: Sequence[SomeItem], done: Collection[Hashable], work: Callable[[SomeItem, Report], None]
    ) -> None:
        """Measure the items that are not done, and write the summary, also after an error.

        Parameters
        ----------
        items : Sequence of Item
            All items of the run, in order.
        done : Collection
            Keys of the items whose records are on disk.
        work : Callable
            Measures one item and appends its records.

        Raises
        ------
        FocuslabError
            An item ran out of memory; the records before it are kept.
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


def dry_runs(
    pipe, conditioning: dict[str, Any], attached: Mapping[float, Attached], instead: str = OTHER_LENGTH_OR_METHOD
) -> tuple[dict[tuple[float, str], DryRun], LeftOut]:
    """Run a step on meta tensors for each length and label, and leave out what does not fit into memory.

    Parameters
    ----------
    pipe
        The pipeline.
    conditioning : dict
        An encoded prompt.
    attached : Mapping
        What runs at each length, in seconds.
    instead : str
        What a user can do where nothing fits.

    Returns
    -------
    dict
        (length, label) -> dry run, of what fits.
    LeftOut
        A record of each length and label that does not fit.
    """
    twin = meta_unet(pipe.unet)
    expected, left_out = {}, LeftOut()
    for seconds, by_label in attached.items():
        inputs = unet_inputs(pipe, conditioning, seconds)
        for label, attach in by_label.items():
            with left_out.unless_it_fits(seconds, method=label):
                expected[seconds, label] = dry_run_that_fits(
                    pipe, twin, inputs, attach, f"{label} at {seconds:g} s", instead
                )
    return expected, left_out


def grid_rows(run: Any) -> dict[str, list[int]]:
    """Site -> [T, F], as run.json has them, of a dry run or a handle."""
    return {name: [grid.time, grid.mel_rows] for name, grid in run.grids.items()}
