"""Figures: records in, matplotlib figures out. Needs no torch."""
