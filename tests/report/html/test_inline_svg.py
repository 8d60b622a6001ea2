"""SVG charts embedded in the page."""

from xml.etree import ElementTree

from forgetmeter.report.html.inline_svg import inline_svg

SVG = """<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="40" height="20" viewBox="0 0 40 20">
<defs><clipPath id="clip0"><rect width="4" height="4"/></clipPath></defs>
<g clip-path="url(#clip0)">
<path role="graphics-symbol" aria-roledescription="point" aria-label="a &lt;b&gt;" d="M0,0"/></g>
</svg>"""


def test_ids_and_references_get_the_prefix():
    drawn = inline_svg(SVG, prefix="f7-", label="a chart")
    assert 'id="f7-clip0"' in drawn
    assert "url(#f7-clip0)" in drawn
    assert "clip0" not in drawn.replace("f7-clip0", "")


def test_marks_get_an_escaped_title():
    root = ElementTree.fromstring(inline_svg(SVG, prefix="", label='a "chart" & more'))
    title = root.find(".//{*}path/{*}title")
    assert title is not None
    assert title.text == "a <b>"
    assert root.get("aria-label") == 'a "chart" & more'
    assert root.get("role") == "img"
    assert "<b>" not in inline_svg(SVG, prefix="", label="")
