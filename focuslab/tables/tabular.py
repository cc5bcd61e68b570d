"""What shows itself in a notebook."""

from focuslab.tables.frames import frame
from focuslab.tables.html import in_html


class Tabular:
    """A run that shows itself as HTML tables in a notebook, and gives its rows as a data frame.

    A subclass says which: `_tables()` are those of the terminal, `_rows()` dicts.
    """

    def _repr_html_(self) -> str:
        return in_html(self._tables())

    def to_pandas(self):
        """The rows as a `pandas.DataFrame`, nested numbers in columns such as "kind_share.resnet"."""
        return frame(self._rows())
