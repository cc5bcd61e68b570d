"""The methods, one frozen dataclass each, and their names on the command line."""

from focuslab.methods.base import Attachable, Method
from focuslab.methods.length_scale import LengthScale
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.names import parse_method, parse_methods
from focuslab.methods.planned import Planned, as_method
from focuslab.methods.pooled import PooledFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.tome import TokenMerging

__all__ = [
    "Attachable",
    "Bound",
    "Dense",
    "LengthScale",
    "LiteFocus",
    "Method",
    "Naive",
    "Planned",
    "PooledFocus",
    "TokenMerging",
    "as_method",
    "parse_method",
    "parse_methods",
]
