"""Which sites a pattern names, and which are the paper's, by their names and shapes alone. Needs no torch."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from focuslab.runs.plan import block_of

PAPER_LEVEL = 1
"""The paper makes the second-highest resolution sparse: there the latent has been halved once."""


def matches(site: str, pattern: str) -> bool:
    """Whether a pattern names a site: its name, its block, or a shell pattern such as "up_blocks.*.attn1"."""
    return pattern in (site, block_of(site)) or fnmatch.fnmatchcase(site, pattern)


def sites_of_layout(unet: Mapping[str, Any], patterns: Iterable[str] | None) -> tuple[str, ...]:
    """The sites of a plan's `unet` that any of the patterns names; None is the paper's choice."""
    if patterns is None:
        # Each halving rounds up.
        mel_rows = -(-unet["latent_mel_rows"] // 2**PAPER_LEVEL)
        return tuple(site for site, shape in unet["sites"].items() if shape["mel_rows"] == mel_rows)
    patterns = tuple(patterns)
    return tuple(site for site in unet["sites"] if any(matches(site, pattern) for pattern in patterns))
