"""Recipes and tasks in words."""

import pytest

from forgetmeter.report.words.recipe_words import recipe_in_words, task_label
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("baseline", "baseline"),
        ("l1_unstructured:overall:0.5", "both: 50% pruned"),
        ("dynamic_int8:feed_forward", "feed-forward: 8-bit"),
        ("l1_unstructured:attention:0.2+dynamic_int8:attention", "attention: 20% pruned, then 8-bit"),
        ("dynamic_int8:overall+l1_unstructured:head:0.2", "both 8-bit, then head 20% pruned"),
        ("round_to_nearest:overall:4:group_size=32", "both: rounded to 4 bits (group size 32)"),
        ("drop_layers:overall:0.3:by=influence", "both: 30% of blocks dropped by influence"),
        ("n_m:head", "head: 2 of every 4 pruned"),
        ("what a plug-in writes", "what a plug-in writes"),
    ],
)
def test_recipes_in_words(recipe, words):
    assert recipe_in_words(recipe, FOR_EARLIER_RUNS) == words


def test_options_are_named_only_to_distinguish_tasks():
    assert task_label("bear:templates=0", ["bear:templates=0", "piqa"]) == "bear"
    both = ["facts:templates=0", "facts:templates=3"]
    assert [task_label(task, both) for task in both] == both
