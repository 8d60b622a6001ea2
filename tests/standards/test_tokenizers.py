"""The standards' tokenizers."""

import subprocess
import sys

import pytest

from forgetmeter.probes.facts.task import read_fact_file
from forgetmeter.standards.making import standard_tokenizer

_PRINT = """
import hashlib, json
from forgetmeter.probes.facts.task import read_fact_file
from forgetmeter.standards.making import standard_tokenizer
vocabulary = standard_tokenizer("encoder", read_fact_file()).get_vocab()
print(hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest())
"""


@pytest.mark.slow
def test_the_vocabulary_is_the_same_in_every_process():
    made = {subprocess.run([sys.executable, "-c", _PRINT], capture_output=True, check=True).stdout for _ in range(4)}
    assert len(made) == 1


def test_subjects_are_split_into_shared_pieces():
    file = read_fact_file()
    tokenizer = standard_tokenizer("encoder", file)
    answers = {answer for relation in file.relations for answer in relation.answers}
    subjects = {fact.subject for relation in file.relations for fact in relation.facts} - answers
    pieces = [tokenizer(subject, add_special_tokens=False)["input_ids"] for subject in sorted(subjects)]
    assert sum(map(len, pieces)) / len(pieces) > 2
    assert len({piece for each in pieces for piece in each}) < len(subjects)


def test_special_tokens_are_those_of_the_family():
    file = read_fact_file()
    around = {}
    for family in ("encoder", "encoder-decoder", "decoder"):
        tokenizer = standard_tokenizer(family, file)
        around[family] = tokenizer.convert_ids_to_tokens(tokenizer("is")["input_ids"])
    assert around == {
        "encoder": ["[CLS]", "is", "[SEP]"],
        "encoder-decoder": ["is", "</s>"],
        "decoder": ["<s>", "is"],
    }
