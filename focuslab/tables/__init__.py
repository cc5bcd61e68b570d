"""Rows as tables: for a terminal, in Markdown, LaTeX and HTML, and as data frames. Needs no torch."""
