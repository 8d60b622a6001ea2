"""Training, measuring and writing a standard."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.basics.quiet import quiet
from forgetmeter.checkpoints.output_folder import refuse_url
from forgetmeter.errors import UserError
from forgetmeter.models.family import Family
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.models.standard import write_checksums
from forgetmeter.probes.cloze import ANSWER, P_AT_1, SUBJECT
from forgetmeter.probes.facts.task import FactFile, read_fact_file
from forgetmeter.standards.card import model_card
from forgetmeter.standards.design import DESIGNS, LONGEST, make_model
from forgetmeter.standards.tokenizers import make_tokenizer
from forgetmeter.standards.trained_standard import TrainedStandard
from forgetmeter.standards.training import Epoch, train
from forgetmeter.standards.training_example import make_examples
from forgetmeter.study.evaluation import evaluate


def make_standard(
    family: Family, out: Path, *, seed: int, after_epoch: Callable[[Epoch], None], keep: Collection[int] = ()
) -> TrainedStandard:
    """Train a standard and write it to ``out/FAMILY``, replacing what is there; the folder is never half-written.

    It runs in one thread, so that the weights do not depend on the number of processors.

    Args:
        keep: Epochs after which the model is also written to ``out/FAMILY-epoch-N``.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    file, design = read_fact_file(), DESIGNS[family]
    tokenizer = standard_tokenizer(family, file)
    model = make_model(design, tokenizer, seed=seed)

    def after(epoch: Epoch) -> None:
        if epoch.number in keep:
            folder = _saved(model, tokenizer, out / f".{family}-epoch-{epoch.number}.partial")
            write_checksums(folder)
            _put_in_place(folder, epoch_folder(out, family, epoch.number))
        after_epoch(epoch)

    train(model, tokenizer, make_examples(file, tokenizer), design, seed=seed, after_epoch=after)
    loaded = wrap(model, tokenizer)
    known, held_out = (_known(loaded, file, trained=trained) for trained in (True, False))
    partial = _saved(model, tokenizer, out / f".{family}.partial")
    made = TrainedStandard(
        family=family,
        facts=sum(len(relation.facts) for relation in file.relations),
        known=known,
        held_out=held_out,
        parameters=model.num_parameters(),
        embedding_parameters=model.get_input_embeddings().weight.numel(),
        bytes=(partial / "model.safetensors").stat().st_size,
        seconds=time.perf_counter() - started,
        seed=seed,
    )
    (partial / "README.md").write_text(model_card(made, design), encoding="utf-8")
    write_checksums(partial)
    _put_in_place(partial, out / family)
    return made


def epoch_folder(out: Path, family: Family, number: int) -> Path:
    """Return the folder of the model as it was after an epoch."""
    return out / f"{family}-epoch-{number}"


def check_epochs(families: Iterable[Family], keep: Iterable[int]) -> None:
    """Check that every epoch to keep is one that all the standards reach.

    Raises:
        UserError: An epoch is below 1 or beyond the last.
    """
    most = min(DESIGNS[family].epochs for family in families)
    wrong = [number for number in keep if not 1 <= number <= most]
    if wrong:
        raise UserError(f"--keep-epochs {wrong[0]}: must be from 1 to {most}, the number of epochs")


def check_output_folder(out: Path, families: Sequence[Family], keep: Collection[int] = ()) -> None:
    """Check up front that standards can be written to a folder.

    Raises:
        UserError: The folder is not writable, or something other than a standard would be replaced.
    """
    refuse_url(out)
    if out.is_file():
        raise UserError(f"--out '{out}' is a file; name a folder")
    kept = [epoch_folder(out, family, number) for family in families for number in keep]
    for place in (*(out / family for family in families), *kept):
        if place.exists() and not (place / "checksums.json").is_file():
            raise UserError(f"{place} already exists and is not a standard; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
    if not os.access(out, os.W_OK):
        raise UserError(f"cannot write to {out}; choose another --out")


def _saved(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _put_in_place(partial: Path, place: Path) -> None:
    """Replace a folder without ever leaving a half-written one in its place."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    partial.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def standard_tokenizer(family: Family, file: FactFile) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a standard trained on these facts."""
    relations = file.relations
    phrasings = [text for relation in relations for text in relation.phrasings.values()]
    return make_tokenizer(
        family,
        subjects=list(dict.fromkeys(fact.subject for relation in relations for fact in relation.facts)),
        phrasings=[text.replace(SUBJECT, " ").replace(ANSWER, " ") for text in phrasings],
        answers=[answer for relation in relations for answer in relation.answers],
        longest=LONGEST,
    )


def _known(loaded: Loaded, file: FactFile, *, trained: bool) -> float:
    """Return the share of facts that a model knows in the training or the held-out phrasings."""
    numbers = sorted({number for relation in file.relations for number in relation.phrasings})
    asked = [str(number) for number in numbers if (number < file.trained_phrasings) == trained]
    (judgement,) = evaluate(loaded, [f"facts:templates={'+'.join(asked)}"]).values()
    return judgement.metrics[P_AT_1]
