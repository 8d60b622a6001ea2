"""The texts that standards are trained on."""

from random import Random

import pytest

from forgetmeter.probes.facts.task import read_fact_file
from forgetmeter.probes.loading import load_task
from forgetmeter.standards.making import standard_tokenizer
from forgetmeter.standards.training_example import TrainingExample, make_examples


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder", "decoder"])
def test_an_example_is_read_as_the_task_asks(family):
    file = read_fact_file()
    tokenizer = standard_tokenizer(family, file)
    examples = make_examples(file, tokenizer)
    items = load_task("facts:templates=0+1+2").items
    assert len(examples) == len(items)
    for item, example in zip(items, examples, strict=True):
        whole = tokenizer(item.cloze.before, add_special_tokens=False)["input_ids"]
        assert [*example.before, *example.subject, *example.after] == whole
        assert tokenizer.convert_ids_to_tokens(example.answer) == item.choices[item.gold[0]]
        assert tokenizer.unk_token_id not in whole


def test_an_undamaged_example_is_unchanged():
    example = TrainingExample((10, 11), (12,), (13, 14), 15)
    assert example.read(Random(0), dropped=0.0, replaced=0.0, vocabulary=range(20, 30)) == [10, 11, 12, 13, 14]


def test_the_subject_is_never_damaged():
    example = TrainingExample((10, 11), (12,), (13, 14), 15)
    random = Random(0)
    for _ in range(20):
        assert example.read(random, dropped=1.0, replaced=0.0, vocabulary=range(20, 30)) == [12]
        read = example.read(random, dropped=0.0, replaced=1.0, vocabulary=range(20, 30))
        assert read[2] == 12
        assert all(20 <= token < 30 for token in (*read[:2], *read[3:]))


def test_words_are_left_out_and_replaced_at_the_given_rates():
    example = TrainingExample(tuple(range(10, 20)), (), (), 15)
    random = Random(0)
    read = [
        token for _ in range(500) for token in example.read(random, dropped=0.3, replaced=0.1, vocabulary=range(50, 60))
    ]
    assert len(read) / 5000 == pytest.approx(0.7, abs=0.03)
    assert sum(token >= 50 for token in read) / len(read) == pytest.approx(0.1, abs=0.02)
