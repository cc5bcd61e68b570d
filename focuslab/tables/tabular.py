"""A base class of results that show themselves in a notebook."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from focuslab.tables.frames import frame
from focuslab.tables.html import in_html
from focuslab.tables.table import Table


class Tabular:
    """A result that shows itself as HTML tables in a notebook and gives its rows as a data frame.

    A subclass has `_tables()`, the tables of the terminal, and `_rows()`, its rows as dicts.
    """

    _tables: Callable[[], Iterable[Table]]
    _rows: Callable[[], Iterable[Mapping[str, Any]]]

    def _repr_html_(self) -> str:
        return in_html(self._tables())

    def to_pandas(self):
        """The rows as a `pandas.DataFrame`, nested numbers in columns such as "kind_share.resnet"."""
        return frame(self._rows())
