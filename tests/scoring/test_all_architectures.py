"""Every text architecture of transformers: what is scored in company is what plain calls say of each text alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from scoring.configurations import CONFIGURATIONS
from tiny_models import make_bart_tokenizer, make_tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Answer, Cloze, ClozeAnswer, Item, Request
from forgetmeter.scoring.engine import Engine

WORDS = ["the", "inn", "in", "a", "thin", "hint", "of", "tea", "and", "it", "hits", "nine", "tin", "things"]
"""Each begins with a space where it follows another, and is a few tokens long."""


def phrase(dice: random.Random, words: int) -> str:
    return " ".join(dice.choices(WORDS, k=words))


def continuations() -> list[Item]:
    """Questions of one and the same and of other beginnings, short and long, and texts that repeat themselves."""
    dice = random.Random(0)
    items = []
    for words in (1, 2, 2, 5, 9, 14):
        context = phrase(dice, words)
        items.append([Request(context, " " + phrase(dice, number)) for number in (1, 1, 2, 3)])
    items.append([Request("a a a", " a"), Request("a a a", " a a"), Request("a a a a a a", " a tin")])
    return [Item(f"x/{n}", "", tuple(requests), (), ()) for n, requests in enumerate(items)]


def statements() -> list[Item]:
    dice = random.Random(0)
    clozes = [Cloze(f"{phrase(dice, words)} ", ".", "candidates") for words in (1, 2, 5, 9)]
    choices = ("tin", "a", "nine things")
    return [Item(f"x/{n}", "", (), choices, (0,), cloze=cloze) for n, cloze in enumerate(clozes)]
