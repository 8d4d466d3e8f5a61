"""A policy's structure as one page that opens anywhere, with a picture of the component graph."""

from collections.abc import Mapping
from typing import Any

from secateur.report.html import environment
from secateur.report.picture import component_picture
from secateur.report.structure_table import sections


def render_structure(described: Mapping[str, Any]) -> str:
    """The page as text, from what ``report.structure.describe`` gives."""
    template = environment().get_template("structure.html.j2")
    return template.render(
        described=described, picture=component_picture(described), sections=sections(described)
    )
