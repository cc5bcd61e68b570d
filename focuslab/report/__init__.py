"""Figures and the HTML page. Both read plain dicts and JSON and import no torch.

`figures` draws with Agg on `Figure` objects of its own: pyplot, the user's backend and the user's rcParams are left as
they are. seaborn, which has the colours of maps, is imported when a map is drawn.

`html` puts runs of any kind on one page. It takes directories that somebody else may have written.
"""
