"""Everything that knows AudioLDM2: loading it, and where its attention sits."""
