"""The methods, one frozen dataclass each, and their names on the command line."""

from focuslab.methods.base import Method
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.names import parse_method, parse_methods
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.tome import TokenMerging

__all__ = ["Bound", "Dense", "LiteFocus", "Method", "Naive", "TokenMerging", "parse_method", "parse_methods"]
