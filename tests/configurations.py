"""The table of methods: every test that concerns all of them runs through these rows. A new method is a new row."""

from focuslab.methods import (
    Broadcast,
    Composition,
    DeepCache,
    LengthScale,
    LiteFocus,
    PooledFocus,
    SampledFocus,
    TokenMerging,
    WindowFocus,
)
from focuslab.methods.references import Bound, Eager

METHODS = {
    "litefocus": LiteFocus(),
    "same-frequency": LiteFocus(cross_fraction=0),
    "cross-frequency": LiteFocus(same_frequency=False),
    "unbiased": LiteFocus(cross_weight="unbiased"),
    "weighted": LiteFocus(cross_fraction=0.05, cross_weight=4.5),
    "uniform": LiteFocus(sampling="uniform"),
    "uniform, unbiased": LiteFocus(sampling="uniform", cross_weight="unbiased"),
    "published": LiteFocus(sampling="uniform", overlap="twice"),
    "pooled": PooledFocus(),
    "pooled, uneven": PooledFocus(stretch=7),
    "sampled": SampledFocus(own_keys=9, other_keys=2),
    "tome": TokenMerging(),
    "window": WindowFocus(rest_keys=5),
    "window, own rows": WindowFocus(rest_keys=5, rows="own"),
    "decay": WindowFocus(rest_keys=5, decay=0.5),
    "length-scale": LengthScale(),
    "length-scaled": LiteFocus(length_scale=True),
    "naive": Eager(),
    "bound": Bound(),
}
EXACT = ("naive", "length-scale", "window", "window, own rows", "decay")
"""Rows that give dense attention, but for rounding: all but the first up to the training length."""

CACHES = {
    "deepcache": DeepCache(interval=2),
    "broadcast": Broadcast(),
    "broadcast, some sites": Broadcast(interval=3, sites="mid_block"),
    "deepcache + sampled": Composition((SampledFocus(own_keys=9, other_keys=2), DeepCache(interval=2))),
    "broadcast + litefocus": Composition((Broadcast(sites="*"), LiteFocus())),
}
"""What reuses outputs of earlier UNet calls; the second call of a generation is a cached one. They go through the tests
that concern generations."""
