"""What every method saves at every site of a profile, and what it would save at lengths that were not profiled."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from focuslab.errors import InputError
from focuslab.results import ProfileRun
from focuslab.runs.method_spec import DENSE, MethodSpec
from focuslab.runs.plan import matches
from focuslab.search.experiments import timed_as

Flops = Mapping[float, Mapping[MethodSpec, Mapping[str, float]]]
"""Audio length -> method -> module -> FLOPs of a step, from dry runs; the module "" is the whole UNet."""
Row = Mapping[str, Any]


class Estimate(NamedTuple):
    """Seconds of a step, and whether they are predicted from FLOPs instead of measured."""

    seconds: float
    predicted: bool


class CostModel:
    """Time of every site with every method and at every length of a profile.

    The instrumented run says how a method's saving divides over its sites. The plain, interleaved steps say how much it
    is in all: what they say beyond the instrumented run is spread over the sites in proportion to their time in dense.
    A method that takes the same time as another (`timed_as`) has its times. FLOPs are for what the profile lacks.
    """

    def __init__(self, profile: ProfileRun, flops: Flops | None = None):
        rows = [(MethodSpec.parse(row["method"]), row) for row in profile.rows if row["modules"]]
        self.order = tuple(dict.fromkeys(module["name"] for _, row in rows for module in _attentions(row)))
        """The sites, in the order of the UNet."""
        self.grids = profile.info.grids
        """Site -> [T, F] by length in seconds."""
        self._flops = flops or {}
        self._dense = {row["seconds"]: row for method, row in rows if method == DENSE}
        self._dense_sites = {seconds: _sites(row) for seconds, row in self._dense.items()}
        self._sites = frozenset().union(*self._dense_sites.values())
        self._measured: dict[tuple[float, MethodSpec], dict[str, tuple[float, float | None]]] = defaultdict(dict)
        # Methods at few sites first: where one was measured at all sites too, that counts.
        for method, row in sorted(rows, key=lambda pair: pair[1]["sites"]):
            if method != DENSE and row["seconds"] in self._dense:
                self._measured[row["seconds"], method.without_sites()] |= self._savings(method, row)

    def dense_step(self, seconds: float) -> Estimate:
        """Time of a dense step. Raises `InputError` where it was not measured and cannot be predicted."""
        if seconds in self._dense:
            return Estimate(self._dense[seconds]["step_seconds_median"], False)
        counted = self._flops.get(seconds, {}).get(DENSE, {}).get("")
        near = _nearest(self._dense, seconds)
        known = self._dense[near]["flops_per_step"] if near is not None else None
        if not (counted and known):
            there = ", ".join(f"{s:g}" for s in sorted(self._dense)) or "no length"
            raise InputError(
                f"the profile has no dense step at {seconds:g} s, only at {there}: measure that length too"
            )
        return Estimate(self._dense[near]["step_seconds_median"] * counted / known, True)

    def saved(self, seconds: float, method: MethodSpec, sites: Sequence[str]) -> Estimate | None:
        """What the method saves of a step at these sites, None where that is not known.

        Raises `InputError` for a site that the profile lacks.
        """
        unknown = sorted(set(sites) - self._sites)
        if unknown:
            raise InputError(
                f"the sensitivity pass names the site {unknown[0]!r}, which the profile has not: they are of "
                "different models"
            )
        parts = [part for site in sites if (part := self._saved_at(seconds, method, site))]
        if not parts or len(parts) < len(sites):
            return None
        return Estimate(math.fsum(part.seconds for part in parts), any(part.predicted for part in parts))

    def saved_by_site(self, seconds: float, method: MethodSpec) -> dict[str, float | None]:
        """Site -> seconds of a step that the method saves there alone; None where that is not known."""
        found = {site: self.saved(seconds, method, (site,)) for site in self.order if site in self._sites}
        return {site: saved and saved.seconds for site, saved in found.items()}

    def unmeasured(self, methods: Iterable[MethodSpec], lengths: Iterable[float]) -> list[tuple[float, MethodSpec]]:
        """(seconds, method) of what the profile has not measured, module by module, at all sites."""
        methods = list(methods)
        return [
            (seconds, method)
            for seconds in lengths
            for method in methods
            if not (seconds in self._dense if method == DENSE else self._times(seconds, method).keys() >= self._sites)
        ]

    def _times(self, seconds: float, method: MethodSpec) -> dict[str, tuple[float, float | None]]:
        """Site -> seconds saved by a method at one length, and its FLOPs; empty where it was not measured."""
        return next(
            (self._measured[key] for m in (method, timed_as(method)) if (key := (seconds, m)) in self._measured), {}
        )

    def _savings(self, method: MethodSpec, row: Row) -> dict[str, tuple[float, float | None]]:
        dense_row, dense = self._dense[row["seconds"]], self._dense_sites[row["seconds"]]
        own = _sites(row)
        if method.sites is None:
            # Its own sites, which the label does not say, unless they are all there are.
            chosen = sorted(own) if row["sites"] == len(own) else []
        else:
            chosen = sorted(name for name in own if any(matches(name, pattern) for pattern in method.sites))
        if not chosen or not dense.keys() >= set(chosen):
            return {}
        raw = {name: dense[name][0] - own[name][0] for name in chosen}
        beyond = dense_row["step_seconds_median"] - row["step_seconds_median"] - sum(raw.values())
        whole = sum(dense[name][0] for name in chosen)
        return {name: (raw[name] + beyond * dense[name][0] / whole, own[name][1]) for name in chosen}

    def _saved_at(self, seconds: float, method: MethodSpec, site: str) -> Estimate | None:
        measured = self._times(seconds, method)
        if site in measured:
            return Estimate(measured[site][0], False)
        near = _nearest([s for s in self._dense if site in self._times(s, method)], seconds)
        if near is None:
            return None
        there, before = self._times(near, method)[site], self._dense_sites[near][site]
        now = self._dense_sites.get(seconds, {}).get(site)
        counts = self._flops.get(seconds, {})
        dense_flops = now[1] if now else counts.get(DENSE, {}).get(site)
        own_flops = counts.get(method, counts.get(timed_as(method), {})).get(site)
        if not (dense_flops and own_flops and before[1] and there[1]):
            return None
        dense = now[0] if now else before[0] * dense_flops / before[1]
        return Estimate(dense - (before[0] - there[0]) * own_flops / there[1], True)


def _attentions(row: Row) -> list[Row]:
    return [module for module in row["modules"] if module["kind"] == "self_attention"]


def _sites(row: Row) -> dict[str, tuple[float, float | None]]:
    """Self-attention site -> its seconds a step and its FLOPs."""
    return {m["name"]: (m["inclusive_seconds"], m.get("flops")) for m in _attentions(row)}


def _nearest(lengths: Iterable[float], seconds: float) -> float | None:
    return min(sorted(lengths), key=lambda s: abs(math.log(s / seconds)), default=None)
