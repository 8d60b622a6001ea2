"""Tokenizers of the standards: one vocabulary, with special tokens per family."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from forgetmeter.models.family import Family

_PIECES = 400
_UNKNOWN = "[UNK]"
_SPECIAL = ("[PAD]", _UNKNOWN, "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<extra_id_0>", "<extra_id_1>")
FIRST_WORD = len(_SPECIAL)
"""The first token id that is not a special token."""

_AROUND: dict[Family, str] = {
    "encoder": "[CLS] $A [SEP]",
    "encoder-decoder": "$A </s>",
    "decoder": "<s> $A",
}
_NAMES: dict[Family, dict[str, str]] = {
    "encoder": {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"},
    "encoder-decoder": {"eos_token": "</s>"},
    "decoder": {"bos_token": "<s>", "eos_token": "</s>"},
}


def make_tokenizer(
    family: Family, *, subjects: Sequence[str], phrasings: Iterable[str], answers: Iterable[str], longest: int
) -> PreTrainedTokenizerFast:
    """Return the WordPiece tokenizer of a standard.

    Answers and the words of phrasings are one token each, so that every answer fits one blank; subjects share a few
    hundred pieces.

    Args:
        family: The family of the standard.
        subjects: Names from which the pieces are learned.
        phrasings: Texts; each of their words becomes one token.
        answers: Single words; each becomes one token.
        longest: Maximum number of tokens per text.
    """
    whole = dict.fromkeys([*_words(phrasings), *answers])
    tokens = dict.fromkeys([*_pieces(subjects), *sorted(whole)])
    core = Tokenizer(models.WordPiece(vocab={token: place for place, token in enumerate(tokens)}, unk_token=_UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.add_special_tokens([token for token in _SPECIAL if token != _UNKNOWN])
    special = [(token, core.token_to_id(token)) for token in _SPECIAL]
    core.post_processor = processors.TemplateProcessing(single=_AROUND[family], special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token=_UNKNOWN,
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
        **_NAMES[family],
    )


def _pieces(subjects: Sequence[str]) -> list[str]:
    """Return special tokens and the pieces learned from names, in vocabulary order.

    Byte-pair encoding learns them, and each may begin or continue a word. The WordPiece trainer is not used because it
    breaks ties at random.
    """
    core = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = list(string.ascii_letters + string.digits + string.punctuation)
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, special_tokens=list(_SPECIAL), initial_alphabet=letters, show_progress=False
    )
    core.train_from_iterator(sorted(subjects), trainer)
    vocabulary = core.get_vocab()
    pieces = sorted(vocabulary, key=lambda token: vocabulary[token])
    return pieces + [f"##{piece}" for piece in pieces[FIRST_WORD:]]


def _words(texts: Iterable[str]) -> list[str]:
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [word for text in texts for word, _ in split(text)]
