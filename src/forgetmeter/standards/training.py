"""The training loop of the standards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.standards.design import Design
from forgetmeter.standards.family_loss import family_loss
from forgetmeter.standards.tokenizers import FIRST_WORD
from forgetmeter.standards.training_example import TrainingExample

_WARM_UP = 0.05
_LARGEST_NORM = 1.0
_BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Epoch:
    """Training progress after an epoch.

    Attributes:
        number: Epochs done.
        of: Total number of epochs.
        loss: Mean loss of the epoch, in nats per token.
    """

    number: int
    of: int
    loss: float


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[TrainingExample],
    design: Design,
    *,
    seed: int,
    after_epoch: Callable[[Epoch], None],
) -> None:
    """Train a model on examples, in place.

    AdamW without weight decay; the learning rate warms up over the first 5% of the steps, then falls linearly to 0. The
    same seed, versions, kind of processor and number of threads give the same weights.

    Args:
        model: The model; only parameters that require gradients are trained.
        examples: Training examples, each read once per epoch.
        seed: Seed of the order of examples and of dropped and replaced words.
    """
    random = Random(seed)
    criterion = family_loss(design.family, tokenizer)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=design.learning_rate, betas=_BETAS, weight_decay=0.0)
    steps = design.epochs * math.ceil(len(examples) / design.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps))
    vocabulary = range(FIRST_WORD, len(tokenizer))
    model.train()
    for epoch in range(1, design.epochs + 1):
        total = 0.0
        for batch in _batches(examples, design.batch_size, random):
            texts = [
                example.read(random, dropped=design.dropped, replaced=design.replaced, vocabulary=vocabulary)
                for example in batch
            ]
            loss = criterion.loss(model, texts, [example.answer for example in batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trainable, _LARGEST_NORM)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        after_epoch(Epoch(epoch, design.epochs, total / len(examples)))
    model.eval()


def _share_of_rate(step: int, steps: int) -> float:
    return min((step + 1) / (_WARM_UP * steps), 1 - step / steps)


def _batches(examples: Sequence[TrainingExample], size: int, random: Random) -> Iterator[Sequence[TrainingExample]]:
    order = random.sample(examples, len(examples))
    for start in range(0, len(order), size):
        yield order[start : start + size]
