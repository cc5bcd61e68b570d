"""focuslab.report.figures.compact: figures that look the same in fewer bytes."""

import base64
import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from focuslab.report.figures.compact import smaller_png, smaller_svg
from focuslab.report.figures.style import save


def picture(mode, alpha=None):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, len(mode)), dtype=np.uint8)
    if alpha is not None:
        noise[..., 3] = alpha
    buffer = io.BytesIO()
    Image.fromarray(noise, mode).save(buffer, "PNG")
    return buffer.getvalue()


def test_paths_are_shorter_and_text_is_as_it_was():
    svg = '<svg><path d="M 1.234567 20.999999 \nL 3 4.5"/><text>0.123456 d="</text></svg>'
    assert smaller_svg(svg) == '<svg><path d="M 1.23 20.99 \nL 3 4.5"/><text>0.123456 d="</text></svg>'


def test_ids_that_something_refers_to_stay_and_are_numbered():
    svg = (
        '<svg><g id="patch_1">\n  <path d="M 0 0" clip-path="url(#p0f3)"/>\n</g>\n<clipPath id="p0f3"/>'
        '<use xlink:href="#m9a"/><path id="m9a"/><use xlink:href="#m9a"/></svg>'
    )
    small = smaller_svg(svg)
    assert small == (
        '<svg>  <path d="M 0 0" clip-path="url(#i0)"/>\n<clipPath id="i0"/>'
        '<use xlink:href="#i1"/><path id="i1"/><use xlink:href="#i1"/></svg>'
    ).replace("  <path", "<path")


def test_a_picture_has_fewer_colors_unless_it_is_transparent():
    opaque, clear = picture("RGBA", 255), picture("RGBA", 100)
    small = Image.open(io.BytesIO(smaller_png(opaque)))
    assert small.mode == "P" and small.size == (40, 40) and len(smaller_png(opaque)) < len(opaque)
    assert smaller_png(clear) == clear


def test_a_picture_within_an_svg_stays_where_it_is():
    svg = f'<svg><image xlink:href="data:image/png;base64,{base64.b64encode(picture("RGB")).decode()}" x="1"/></svg>'
    head, _, rest = smaller_svg(svg).partition("base64,")
    assert head == '<svg><image xlink:href="data:image/png;' and rest.endswith('" x="1"/></svg>')
    assert Image.open(io.BytesIO(base64.b64decode(rest.partition('"')[0]))).mode == "P"


def test_a_figure_is_saved_in_the_formats_asked_for(tmp_path):
    figure = Figure((1, 1))
    figure.add_axes((0, 0, 1, 1)).plot([0, 1])
    assert save(figure, tmp_path / "one") == [tmp_path / "one.svg"]
    assert [path.name for path in save(figure, tmp_path / "two", ("svg", "png"))] == ["two.svg", "two.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"one.svg", "two.svg", "two.png"}
    assert Image.open(tmp_path / "two.png").mode == "P"
