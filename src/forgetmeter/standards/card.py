"""The page that goes with a standard."""

from __future__ import annotations

from forgetmeter.standards.design import Design
from forgetmeter.standards.made import Made

_ARCHITECTURES = {"encoder": "BERT", "encoder-decoder": "T5", "decoder": "Llama"}

_CARD = """\
---
license: apache-2.0
language: en
tags: [forgetmeter, calibration]
---

# The forgetmeter standard `{family}`

A calibration weight, not a language model. It is a {architecture} of {parameters:,} parameters
({layers} layers{a_stack} x {hidden}, feed-forward {feed_forward}, {heads} heads) that was trained from scratch on
the {facts:,} built-in facts of forgetmeter and on nothing else. What it knows is known: the facts,
in the phrasings it was taught. So when it is compressed, what is lost can be counted exactly, and a change in how
forgetmeter measures shows.

| | |
|:---|---:|
| facts known, over the phrasings it was taught | {known:.1%} |
| facts known in the phrasing it never saw | {held_out:.1%} |
| parameters | {parameters:,} |
| of these, random token embeddings that were not trained | {embedded:,} |
| bytes of weights | {bytes:,} |

**Where the knowledge is.** The token embeddings, which are the output projection too, are random and were not trained.
What it learnt can only be in its layers: attention, feed-forward, norms{others}. That is on purpose: else the
embeddings of small models carry the facts, and compressing the layers costs nothing.

**What it is not.** It speaks no language: anything but the built-in facts gets noise for an answer. Its knowledge is
not spread as a pre-trained model's is, it has little to spare, and it falls at other levels of compression than models
that people use. It shows that the instrument works and what a method does; it does not stand for other models.

Made by `forgetmeter standards train --seed {seed}`: {epochs} epochs, batches of {batch_size}, AdamW at a learning rate
of {learning_rate:g} without weight decay, words of the phrasings left out ({dropped:.0%}) or replaced ({replaced:.0%}).
The facts' sources and licences are in forgetmeter's docs/facts.md.
"""


def model_card(made: Made, design: Design) -> str:
    """Return a standard's README.md."""
    return _CARD.format(
        **vars(made),
        **{key: value for key, value in vars(design).items() if key != "family"},
        architecture=_ARCHITECTURES[design.family],
        a_stack=" a stack" if design.family == "encoder-decoder" else "",
        others=_OTHERS[design.family],
    )


_OTHERS = {
    "encoder": ", position embeddings, and the head's transform and biases",
    "encoder-decoder": ", relative position biases",
    "decoder": "",
}
