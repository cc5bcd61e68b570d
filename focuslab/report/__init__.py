"""Records in; figures and text tables out. Reads plain dicts and JSON, and imports no torch.

`tables`, `text` and `attention_rows` need nothing but the standard library. The rest needs matplotlib, and draws with
Agg on `Figure` objects of its own: pyplot, the user's backend and the user's rcParams are left as they are. Maps and
matrices are drawn with seaborn, which is imported when they are.

`page` puts runs of any kind on one HTML page; it takes directories that somebody else may have written.
"""
