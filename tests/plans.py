"""Plans for tests."""

from itertools import pairwise

from focuslab.methods import Plan
from focuslab.runs.plan import PlanEntry

LAYOUT = {
    "frame_seconds": 0.01,
    "frames_per_latent": 4,
    "latent_mel_rows": 16,
    "sites": {
        "down_blocks.1.attn1": {"mel_rows": 8, "heads": 2, "head_width": 16},
        "mid_block.attn1": {"mel_rows": 2, "heads": 4, "head_width": 16},
        "up_blocks.2.attn1": {"mel_rows": 8, "heads": 2, "head_width": 16},
    },
}
"""The UNet of plans that are only read and written."""


def plan_of(sites_from, unet=LAYOUT, evidence=None, **more):
    """A plan from {seconds at which an entry begins: its sites}; `more` goes into every entry."""
    starts = [*sites_from, None]
    entries = [PlanEntry(a, b, sites_from[a], **more) for a, b in pairwise(starts)]
    return Plan("random:tiny", unet, tuple(entries), evidence or {})


def everywhere(names, method="litefocus", **parameters):
    """The sites of an entry that all run the same."""
    return {name: {"method": method, **parameters} for name in names}
