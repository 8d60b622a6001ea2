"""Token sequences of items, before they are packed into rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.models.family import Family
from forgetmeter.models.roles.output_head import embedding_rows
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Cloze, Item, Problem, Requests, WholeText
from forgetmeter.scoring.families.blank_filling import FIRST_SENTINEL, SentinelFilling, blank_filling
from forgetmeter.scoring.question import AnswerKind, Question, question_of_paths
from forgetmeter.scoring.rows.prefix_tree import WantedSequence
from forgetmeter.scoring.tokens.answer_tokens import AnswerTree
from forgetmeter.scoring.tokens.tokenization import beginning, is_unencodable

TOO_LONG = "longer than the model reads"
NOT_ONE_TOKEN = "answer is not one token of the vocabulary"
BEYOND_EMBEDDING = "token beyond the model's embedding"
BLANK_IN_TEXT = "text contains the token that marks the blank"
NO_UNICODE = "text is not valid Unicode"


@dataclass(frozen=True)
class Asked:
    """The token sequences of one item.

    Attributes:
        sequences: Sequences to read: one per request or candidate, plus a last one if ``ranks_vocabulary``; or one per
            branching of ``tree``; or one per window of a text.
        ranks_vocabulary: Whether the last sequence ranks the whole vocabulary.
        reason: Why the item cannot be scored; ``None`` if it can.
        tree: The answers, if they compete at a blank.
        is_cut: Whether a context was truncated at its start to fit the model.
    """

    sequences: tuple[WantedSequence, ...] = ()
    ranks_vocabulary: bool = False
    kind: AnswerKind = "requests"
    reason: str | None = None
    tree: AnswerTree | None = None
    is_cut: bool = False

    def question(self, paths: Sequence[Sequence[int]]) -> Question | None:
        """Return the question, given the slots of each sequence."""
        if self.reason is not None:
            return None
        if self.tree is not None:
            return question_of_tree(self.tree, [path[0] for path in paths])
        if self.kind == "text":
            return question_of_paths([tuple(chain.from_iterable(paths))], kind="text")
        if self.ranks_vocabulary:
            return question_of_paths(paths[:-1], vocabulary=paths[-1][0], kind="cloze")
        return question_of_paths(paths, kind=self.kind)


@dataclass(frozen=True)
class EmbeddedTokens:
    """The token ids a model has embeddings for; a tokenizer may have more, such as an image token.

    Attributes:
        rows: Number of embeddings.
        is_full: Whether all tokens of the tokenizer have an embedding, so that no check is needed.
    """

    rows: int
    is_full: bool

    def has(self, *sequences: Iterable[int]) -> bool:
        """Whether all tokens have an embedding."""
        return self.is_full or all(token < self.rows for tokens in sequences for token in tokens)

    def only(self, asked: Asked, *contexts: Iterable[int]) -> Asked:
        """Return ``asked``, or a reason in its place if a token of it or of ``contexts`` has no embedding."""
        wanted = (tokens for each in asked.sequences for tokens in (each.tokens, each.ends))
        return asked if self.has(*contexts, *wanted) else Asked(reason=BEYOND_EMBEDDING)


def embedded_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> EmbeddedTokens:
    """Return the tokens a model has embeddings for."""
    rows = embedding_rows(model)
    return EmbeddedTokens(rows, max(tokenizer.get_vocab().values(), default=0) < rows)


def question_of_tree(tree: AnswerTree, firsts: Sequence[int]) -> Question:
    """Return the question for a tree of answers, given the first slot of each branching."""
    return Question(tree.answers, tree.slots(firsts), tree.owners, kind="cloze")


def asked_at_blank(before: tuple[int, ...], tree: AnswerTree, *, context: int = 0) -> Asked:
    """Return the sequences for answers that compete after the tokens ``before``, at least one."""
    return Asked(
        tuple(
            WantedSequence(
                (*before, *branching.tokens, branching.ends[0]),
                len(before) + len(branching.tokens),
                context=context,
                ends=branching.ends,
            )
            for branching in tree.branchings
        ),
        kind="cloze",
        tree=tree,
    )


def answered_at_blank(items: Iterable[Item]) -> list[Item]:
    """Return the clozes whose answers compete at the blank (``among="answers"``)."""
    return [item for item in items if isinstance(item.asks, Cloze) and item.asks.among == "answers"]


def questions_of(asked: Iterable[Asked], paths: Iterable[Sequence[int]]) -> tuple[Question | None, ...]:
    """Return the question of each item, given the slots of all sequences in order."""
    left = iter(paths)
    return tuple(each.question([next(left) for _ in each.sequences]) for each in asked)


def unsupported_reason(
    items: Iterable[Item], family: Family, tokenizer: PreTrainedTokenizerBase, *, longest: int | None = None
) -> str | None:
    """Return why a model cannot be scored on a task, as the end of a sentence about the model; ``None`` if it can.

    Reasons that affect single items, such as an answer of several tokens, do not count.

    Args:
        longest: Maximum number of tokens that the model reads, if known.
    """
    items = [item for item in items if item.problem is None]
    if generations := [item.asks for item in items if isinstance(item.asks, Generation)]:
        return _unwritable(max(each.max_tokens for each in generations), family, longest)
    clozes = [item for item in items if isinstance(item.asks, Cloze)]
    texts = any(isinstance(item.asks, WholeText) for item in items)
    if texts and family != "decoder":
        kind = "a masked language model" if family == "encoder" else "an encoder-decoder"
        return f"is {kind}; whole texts are supported only for decoders, which predict each token from those before it"
    if family == "encoder":
        return _masked(items, clozes, tokenizer)
    if not clozes and not texts:
        return None
    if family == "encoder-decoder":
        if blank_filling(tokenizer) is None:
            return "has a tokenizer with neither sentinels nor a mask token, so it cannot fill blanks"
        return _cut_up(clozes[0].cloze, blank_token(family, tokenizer), tokenizer)
    if family == "decoder" and not beginning(tokenizer):
        return "has a tokenizer without a beginning-of-sequence token, so whole statements and texts cannot be scored"
    return None


def _unwritable(max_tokens: int, family: Family, longest: int | None) -> str | None:
    if family == "encoder":
        return "is a masked language model, which fills blanks and cannot write answers; choose a model that generates"
    if family == "decoder" and longest is not None and max_tokens >= longest:
        return (
            f"reads at most {longest} tokens, and answers of up to {max_tokens} leave no room for a question; lower "
            "max_gen_toks in the task's generation_kwargs"
        )
    return None


def blank_token(family: Family, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the token that marks a blank in a model's input; ``None`` for decoders or if the tokenizer has none."""
    if family == "decoder":
        return None
    has_sentinels = family == "encoder-decoder" and isinstance(blank_filling(tokenizer), SentinelFilling)
    return FIRST_SENTINEL if has_sentinels else tokenizer.mask_token


def with_text_problems(items: Sequence[Item], blank: str | None) -> list[Item]:
    """Return the items, replacing questions whose texts are not Unicode or contain ``blank`` by a problem."""
    # Items of a relation share their choices.
    sound: dict[int, bool] = {}

    def checked(item: Item) -> Item:
        texts: list[str] = []
        match item.asks:
            case Cloze(before=before, after=after):
                texts = [before, after]
                if blank and any(blank in text for text in texts):
                    return replace(item, asks=Problem(BLANK_IN_TEXT))
            case Requests() as requests:
                texts = [text for request in requests for text in (request.context, request.continuation)]
            case WholeText(text=text) | Generation(context=text):
                texts = [text]
        choices = id(item.choices)
        sound[choices] = sound[choices] if choices in sound else all(map(_is_unicode, item.choices))
        is_sound = sound[choices] and all(map(_is_unicode, texts))
        return item if is_sound or item.problem is not None else replace(item, asks=Problem(NO_UNICODE))

    return [checked(item) for item in items]


def _is_unicode(text: str) -> bool:
    # JSON can contain escaped lone surrogates.
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _masked(items: list[Item], clozes: list[Item], tokenizer: PreTrainedTokenizerBase) -> str | None:
    if len(clozes) < len(items):
        return (
            "is a masked language model, which fills blanks and cannot score continuations such as those of "
            f"{next(item.id for item in items if item not in clozes)}; use a probe (lama/..., bear, popqa, facts) or a "
            "file of facts"
        )
    if clozes and tokenizer.mask_token_id is None:
        return "has a tokenizer without a mask token, so it cannot fill blanks"
    at_blank = [item.cloze for item in clozes if item.cloze.among != "candidates"]
    if at_blank and (reason := _cut_up(at_blank[0], tokenizer.mask_token, tokenizer)):
        return reason
    if not tokenizer.is_fast and any(item.cloze.among == "candidates" for item in clozes):
        return (
            "has a slow (Python) tokenizer, which does not map tokens to words, so whole statements cannot be scored; "
            "use a fast tokenizer"
        )
    return None


def _cut_up(cloze: Cloze, blank: str | None, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return a reason if a tokenizer does not read the token that marks a blank as that token."""
    try:
        ids = tokenizer(cloze.filled(blank or ""))["input_ids"]
    except Exception as error:
        if not is_unencodable(error):
            raise
        # A fault of this item, not of the tokenizer.
        return None
    if blank and ids.count(tokenizer.convert_tokens_to_ids(blank)) == 1:
        return None
    return (
        f"has a tokenizer that does not read {blank!r} as one token, so it cannot fill blanks; make it a special token "
        "(added_tokens of tokenizer.json), and remove split_special_tokens from tokenizer_config.json if it is there"
    )
