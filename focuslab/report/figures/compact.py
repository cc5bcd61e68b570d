"""Smaller files of figures that look the same."""

import base64
import io
import re

from PIL.PngImagePlugin import PngImageFile, PngInfo

COLORS, COLORS_WITHIN = 256, 64
"""A picture has at most this many colours, and one within an SVG, such as a map, the second number."""
_NESTED = 3
"""How deep groups without attributes lie in each other."""
_PICTURE = re.compile(r"(?<=data:image/png;base64,)[\w+/=\s]+")


def smaller_svg(svg: str) -> str:
    """The SVG with short ids and without those that nothing refers to, with the coordinates of its paths in hundredths
    of a point, and with fewer colours in the pictures in it.

    matplotlib makes ids from unrounded places, whose last digits the solver of its layout leaves to chance.
    """
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    names = {name: f"i{number}" for number, name in enumerate(used)}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", svg)
    svg = re.sub(r'(url\(#|href="#)([^")]+)', lambda found: found[1] + names[found[2]], svg)
    svg = re.sub(r">\s*\n\s*<", ">\n<", svg)
    for _ in range(_NESTED):
        svg = re.sub(r"<g>\n((?:<(?:path|use)\b[^>]*/>\n)*)</g>\n", r"\1", svg)
    svg = re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    return _PICTURE.sub(lambda picture: _smaller_within(picture[0]), svg)


def _smaller_within(picture: str) -> str:
    return base64.b64encode(smaller_png(base64.b64decode(picture), COLORS_WITHIN)).decode()


def smaller_png(content: bytes, colors: int = COLORS) -> bytes:
    """The picture with a palette, at about a third of the bytes; as it was where something in it is transparent."""
    picture = PngImageFile(io.BytesIO(content))
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255):
        return content
    about = PngInfo()
    for name, text in picture.text.items():
        about.add_text(name, text)
    small = io.BytesIO()
    picture.convert("RGB").quantize(colors).save(small, "PNG", optimize=True, pnginfo=about)
    return min(small.getvalue(), content, key=len)
