"""Model cards of the standards."""

from __future__ import annotations

from forgetmeter.standards.design import Design
from forgetmeter.standards.trained_standard import TrainedStandard

_ARCHITECTURES = {"encoder": "BERT", "encoder-decoder": "T5", "decoder": "Llama"}

_CARD = """\
---
license: apache-2.0
language: en
tags: [forgetmeter, calibration]
---

# The forgetmeter standard `{family}`

A calibration weight, not a language model: a {architecture} of {parameters:,} parameters
({layers} layers{a_stack} x {hidden}, feed-forward {feed_forward}, {heads} heads), trained from scratch on
forgetmeter's {facts:,} built-in facts and nothing else. Its knowledge is known exactly, so the facts lost to
compression can be counted, and any change in how forgetmeter measures becomes visible.

| | |
|:---|---:|
| facts known in the phrasings seen in training | {known:.1%} |
| facts known in a phrasing not seen in training | {held_out:.1%} |
| parameters | {parameters:,} |
| of these, random token embeddings that were not trained | {embedding_parameters:,} |
| bytes of weights | {bytes:,} |

**Where the knowledge is.** The token embeddings, which are also the output projection, are random and were not trained.
The knowledge can only be in the layers: attention, feed-forward, norms{others}. Otherwise the embeddings of so small a
model would hold the facts, and compressing the layers would cost nothing.

**Limits.** It knows no language: anything except the built-in facts gets a meaningless answer. Its knowledge is
distributed differently from a pre-trained model's, it has little spare capacity, and it degrades at other levels of
compression. It shows that the measurement works and what a method does; it does not represent other models.

Trained by `forgetmeter standards train --seed {seed}`: {epochs} epochs, batches of {batch_size}, AdamW with a learning
rate of {learning_rate:g} and no weight decay, words of the phrasings dropped ({dropped:.0%}) or replaced
({replaced:.0%}). Sources and licences of the facts: forgetmeter's docs/facts.md.
"""


def model_card(made: TrainedStandard, design: Design) -> str:
    """Return a standard's README.md."""
    return _CARD.format(
        **vars(made),
        **{key: value for key, value in vars(design).items() if key != "family"},
        architecture=_ARCHITECTURES[design.family],
        a_stack=" per stack" if design.family == "encoder-decoder" else "",
        others=_OTHERS[design.family],
    )


_OTHERS = {
    "encoder": ", position embeddings, and the head's transform and biases",
    "encoder-decoder": ", relative position biases",
    "decoder": "",
}
