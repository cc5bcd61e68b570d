"""The table of methods: every test that concerns all of them runs through these rows. A new method is a new row."""

from focuslab.methods import LiteFocus, TokenMerging
from focuslab.methods.references import Bound, Naive

METHODS = {
    "litefocus": LiteFocus(),
    "same-frequency": LiteFocus(cross_fraction=0),
    "cross-frequency": LiteFocus(same_frequency=False),
    "unbiased": LiteFocus(cross_weight="unbiased"),
    "weighted": LiteFocus(cross_fraction=0.05, cross_weight=4.5),
    "uniform": LiteFocus(sampling="uniform"),
    "uniform, unbiased": LiteFocus(sampling="uniform", cross_weight="unbiased"),
    "published": LiteFocus(sampling="uniform", overlap="twice"),
    "tome": TokenMerging(),
    "naive": Naive(),
    "bound": Bound(),
}
EXACT = ("naive",)
"""Rows that give dense attention, but for rounding."""
