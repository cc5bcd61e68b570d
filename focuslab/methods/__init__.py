"""The methods, one frozen dataclass each, and their names on the command line."""

from focuslab.methods.base import Attachable, Method
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.log_n_scaling import LengthScale
from focuslab.methods.parsing import AnyMethod, as_method, as_methods, parse_method, parse_methods
from focuslab.methods.plan import Plan
from focuslab.methods.pooling import PooledFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.token_merging import TokenMerging

__all__ = [
    "AnyMethod",
    "Attachable",
    "Bound",
    "Dense",
    "LengthScale",
    "LiteFocus",
    "Method",
    "Naive",
    "Plan",
    "PooledFocus",
    "TokenMerging",
    "as_method",
    "as_methods",
    "parse_method",
    "parse_methods",
]
