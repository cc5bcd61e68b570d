"""Records in; figures and text tables out. Reads plain dicts and JSON, and imports no torch.

`tables` needs nothing but the standard library; `figure1` and `style` need matplotlib, and draw with Agg on
`Figure` objects of their own: pyplot, the user's backend and the user's rcParams are left as they are.
"""
