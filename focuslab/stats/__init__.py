"""Statistics over what was drawn independently. Needs no torch."""
