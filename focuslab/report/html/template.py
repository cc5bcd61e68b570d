"""Templates of this package: every text in them is escaped, a missing one is an error."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_template(name: str, **content: Any) -> str:
    environment = Environment(
        loader=PackageLoader("focuslab.report.html", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**content)
