"""Everything that knows a model family: loading it, and where its attention sits."""
