"""Recipes and tasks in words."""

import pytest

from forgetmeter.report.words.recipe_words import recipe_in_words, short_labels, task_label, variant_noun
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


def test_long_labels_keep_both_ends_and_stay_distinct():
    long = [f"./some-organization+some-very-long-model-name-pruned-{level}" for level in (0.1, 0.2)]
    assert short_labels(["short", *long]) == [
        "short", "./some-organiz…-long-model-name-pruned-0.1", "./some-organiz…-long-model-name-pruned-0.2",
    ]  # fmt: skip
    alike = [f"{'a' * 50}{middle}{'z' * 50}" for middle in "bc"]
    assert len(set(short_labels(alike))) == 2


def test_the_noun_for_what_is_compared():
    assert variant_noun(["baseline", "dynamic_int8:overall"]) == "recipe"
    assert variant_noun(["baseline", "candidate(./a)"]) == "candidate"
    assert variant_noun(["dynamic_int8:overall", "candidate(./a)"]) == "variant"
    assert variant_noun(["baseline"]) == "recipe"
