"""The methods, one frozen dataclass each, and their names on the command line."""

from focuslab.methods.base import Attachable, Method
from focuslab.methods.length_scale import LengthScale
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.names import parse_method, parse_methods
from focuslab.methods.planned import AnyMethod, Planned, as_method, as_methods
from focuslab.methods.pooled import PooledFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.tome import TokenMerging

__all__ = [
    "AnyMethod",
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
    "as_methods",
    "parse_method",
    "parse_methods",
]
