"""Everything that attaches to a running pipeline and lets go of it again."""
