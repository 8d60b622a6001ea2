"""JSON embedded in the page."""

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from forgetmeter.basics.visible_text import each_text, visible
from forgetmeter.report.html.json_block import json_block

TEXT = st.text() | st.sampled_from(["</script>", "<!--", "<script>", "]]>", "\u2028", "&lt;"])


class ScriptContent(HTMLParser):
    content = ""

    def handle_data(self, data):
        self.content += data


@given(st.dictionaries(TEXT, st.lists(TEXT) | st.integers() | st.none()))
def test_it_round_trips_through_a_page(document):
    parser = ScriptContent()
    parser.feed(f'<script type="application/json">{json_block(document)}</script>')
    assert json.loads(parser.content) == each_text(document, visible)


def test_no_text_ends_the_block():
    block = json_block({"text": "</script><!--<script>"})
    assert "<" not in block
    assert ">" not in block


def test_a_lone_surrogate_does_not_stop_it():
    assert json.loads(json_block({"text": "a\ud800"}))["text"] == r"a\ud800"
