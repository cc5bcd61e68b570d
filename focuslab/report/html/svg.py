"""A matplotlib figure as SVG that can stand inside a page, beside others."""

import io
import re
import warnings
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from focuslab.report.figures.compact import smaller_svg
from focuslab.report.figures.style import style

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as an `<svg>` element with a text alternative; `name` makes its ids different from all others.

    Text in it stays text. It holds no script, no link and no reference to another file, whatever the labels say.
    """
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings():
        # Letters that the font of the layout has not are drawn by the browser.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.04
        )
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # Its rules would hold for the whole page; the page has them for its figures.
            if child.tag.removeprefix(_SVG) in ("style", "metadata"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set(key.removeprefix(_XLINK), _renamed(key, value, name))
    _, _, width, height = map(float, root.get("viewBox").split())
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-about", "class": "plot"}
    root.attrib |= {"width": f"{width:g}", "height": f"{height:g}"}
    for tag, text in (("desc", description), ("title", title)):
        words = ElementTree.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'about'}"})
        words.text = text
        root.insert(0, words)
    return Markup(smaller_svg(ElementTree.tostring(root, encoding="unicode")))


def _renamed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return re.sub(r"url\(#", f"url(#{name}-", value)
