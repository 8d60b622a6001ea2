"""Trained standards."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.models.family import Family


@dataclass(frozen=True)
class TrainedStandard:
    """A trained standard.

    Attributes:
        facts: Number of facts it was taught.
        known: Share of facts it knows in the training phrasings.
        held_out: Share of facts it knows in the held-out phrasings.
        parameters: Number of parameters.
        embedding_parameters: Number of these that are random token embeddings.
        bytes: Size of the weights file.
        seconds: Duration of training and evaluation.
    """

    family: Family
    facts: int
    known: float
    held_out: float
    parameters: int
    embedding_parameters: int
    bytes: int
    seconds: float
    seed: int
