"""A plan at work: at each length and site the method that it names."""

import logging
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from focuslab.errors import InputError
from focuslab.hooks.attach import Handle, attach
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Attachable, Method, site_method
from focuslab.models.fingerprint import fingerprint
from focuslab.models.identity import check_layout
from focuslab.models.lengths import frames_of, latent_frames
from focuslab.models.schedule import current_schedule
from focuslab.models.sites import unet_of
from focuslab.runs.plan import PlanEntry, PlanSpec
from focuslab.tables.choice import plan_tables
from focuslab.tables.tabular import Tabular, plan_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False, eq=False)
class Plan(PlanSpec, Attachable, Tabular):
    """A plan that can be attached, wherever a method may stand: `with plan(pipe): pipe(...)`.

    The entry is read off the latents at every step: the last one that begins with no more time steps than they have.
    A site that it does not name, and every site in its dense steps, runs by the processor that was there before.

    Attributes
    ----------
    model, unet, entries, evidence
        See `PlanSpec`.

    Raises
    ------
    InputError
        For anything that is no plan, and for a method or parameter that does not exist; the field is named.
    """

    def __post_init__(self):
        super().__post_init__()
        for i, entry in enumerate(self.entries):
            for site, given in entry.sites.items():
                try:
                    site_method(site, given)
                except InputError as error:
                    raise InputError(f"entries[{i}].sites[{site!r}]: {error}") from None

    @classmethod
    def of(cls, spec: PlanSpec) -> "Plan":
        """The plan that does what `spec` says."""
        return cls(**{field.name: getattr(spec, field.name) for field in fields(PlanSpec)})

    def attach(self, pipe) -> Handle:
        self._check(pipe)
        sites = tuple(dict.fromkeys(site for entry in self.entries for site in entry.sites))
        if not sites:
            return Handle()
        return attach(pipe, sites, choose=_Chooser(self, getattr(pipe, "scheduler", None)))

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        self._check(pipe)
        return methods_of(self.entry_of(latent_frames(pipe, seconds)))

    def _check(self, pipe) -> None:
        """Raises `InputError` for a UNet of another layout; other weights are noted."""
        check_layout(pipe, self.unet, self.model)
        _say_other_weights(self, unet_of(pipe))

    def dense_steps_at(self, pipe, seconds: float) -> tuple[int, int]:
        dense_steps = self.entry_of(latent_frames(pipe, seconds)).dense_steps
        return (dense_steps["first"], dense_steps["last"]) if dense_steps else (0, 0)

    def entry_of(self, frames: int) -> PlanEntry:
        """The entry for latents of `frames` time steps."""
        per_frame, frames_per_latent = self.unet["frame_seconds"], self.unet["frames_per_latent"]
        begun = [e for e in self.entries if frames_of(e.min_seconds, per_frame, frames_per_latent) <= frames]
        return begun[-1]

    def _tables(self) -> list:
        return plan_tables(self)

    def _rows(self) -> list[dict[str, Any]]:
        return plan_rows(self)


_COMPARED: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
"""UNets and the fingerprints that theirs was compared with: it takes a second for a large one."""


def _say_other_weights(plan: Plan, unet: nn.Module) -> None:
    """Log, once, that a plan serves a UNet of the same layout whose weights it was not chosen for."""
    made_for, compared = plan.evidence.get("unet_weights"), _COMPARED.setdefault(unet, set())
    if not isinstance(made_for, str) or made_for in compared:
        return
    compared.add(made_for)
    try:
        found = fingerprint(unet)
    except InputError:  # the twin of a dry run, which has no weights
        return
    if found != made_for:
        logger.warning(
            "this plan was chosen for other weights of the same UNet (%s): its measured speed holds, its measured "
            "error need not",
            plan.model,
        )


def methods_of(entry: PlanEntry) -> dict[str, Method]:
    """What runs at each site of an entry."""
    return {site: site_method(site, given) for site, given in entry.sites.items()}


class _Chooser:
    """Chooses for one attachment of a plan: the method of a site at a length and step, None where it is dense.

    scheduler: that of the pipeline, None for a UNet alone. Where another pipeline runs the same UNet, dense steps take
    its scheduler to have the same number of UNet calls and the same order.
    """

    def __init__(self, plan: Plan, scheduler):
        if scheduler is None and any(entry.dense_steps for entry in plan.entries):
            raise InputError(
                "this plan has dense_steps, and a UNet alone does not know the steps of its generation: attach it to "
                "the pipeline, or attach plan.at_every_step()"
            )
        self._plan = plan
        self._scheduler = scheduler
        self._methods: dict[float, dict[str, Method]] = {}

    def __repr__(self) -> str:
        return repr(self._plan)

    def __call__(self, call: SiteCall, frames: int) -> Method | None:
        entry = self._plan.entry_of(frames)
        if self._is_dense(entry, call.step):
            return None
        # By its beginning, since entries hold dictionaries and are no keys.
        methods = self._methods.get(entry.min_seconds)
        if methods is None:
            methods = self._methods[entry.min_seconds] = methods_of(entry)
        return methods.get(call.site.name)

    def _is_dense(self, entry: PlanEntry, unet_call: int) -> bool:
        if entry.dense_steps is None:
            return False
        schedule = current_schedule(self._scheduler)
        step = schedule.step_of(unet_call)
        return step < entry.dense_steps["first"] or step >= schedule.steps - entry.dense_steps["last"]
