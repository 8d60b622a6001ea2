"""Drawings inlined in the page, so that colours follow its theme and points have tooltips."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from forgetmeter.basics.visible_text import visible

_SVG = "http://www.w3.org/2000/svg"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DROPPED = ("role", "aria-roledescription", "aria-hidden", "pointer-events", "font-family")

ElementTree.register_namespace("", _SVG)


def inline_svg(svg: str, *, prefix: str, label: str) -> Markup:
    """Return a chart's SVG as an element of the page.

    Args:
        svg: The SVG document, as drawn by this package.
        prefix: Prefix for its ids, which makes them unique within the page.
        label: Description for screen readers.
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        _rename_ids(element, prefix)
        label_of_mark = element.attrib.pop("aria-label", None)
        is_mark = element.attrib.get("role") == "graphics-symbol" and element.tag != f"{{{_SVG}}}g"
        for name in _DROPPED:
            element.attrib.pop(name, None)
        if label_of_mark and is_mark:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = label_of_mark
            element.insert(0, title)
            element.set("class", "mark")
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.pop("version", None)
    root.set("role", "img")
    root.set("aria-label", visible(label))
    root.set("style", f"width:{width}px;aspect-ratio:{width}/{height}")
    # Serialized XML escapes all text, so it is safe as markup.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _rename_ids(element: ElementTree.Element, prefix: str) -> None:
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, f"{prefix}{value}")
        elif "url(#" in value:
            element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
        elif name.endswith("href") and value.startswith("#"):
            element.set(name, f"#{prefix}{value[1:]}")
