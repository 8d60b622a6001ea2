"""Adapts transformers' tokenizer for a GGUF file to the file's ``tokenizer.*`` settings.

The rules are those of llama.cpp (``llama-vocab.cpp``). Settings are named without the prefix ``tokenizer.ggml.``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from forgetmeter.basics.plural import counted

_READ = (
    *("model", "pre", "tokens", "token_type", "scores", "merges"),
    *("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"),
    *("add_bos_token", "add_eos_token", "add_space_prefix"),
)
_WITHOUT_EFFECT = (
    # Other special tokens are matched by their type, ``end_tokens`` ends generated texts, and suppressed tokens concern
    # generation with settings other than ours.
    *("seperator_token_id", "cls_token_id", "mask_token_id", "eot_token_id", "eom_token_id", "suppress_tokens"),
    *(f"fim_{part}_token_id" for part in ("pre", "suf", "mid", "pad", "rep", "sep")),
    *("prefix_token_id", "suffix_token_id", "middle_token_id"),
    # Only for pairs of texts.
    *("add_sep_token", "token_type_count"),
)
_MODELS = ("gpt2", "llama", "gemma4")
"""Kinds of vocabularies for which transformers reads all settings that change tokens; it ignores the normalizer of
T5's."""
_IGNORED = "specifies tokenizer.ggml.{}, which transformers ignores, so texts would be tokenized differently"
_IDS = ("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id")
_CONTROL, _USER_DEFINED = 3, 4

_DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Vocabularies for which llama.cpp splits off single digits first, and then splits like GPT-2."""
_AS_GPT2 = ("gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "olmo", "jais", "a.x-4.0")
_BEGINS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
"""Vocabularies for which llama.cpp ignores merges for whole words, and adds BOS unless the file says otherwise."""
_DEFAULT = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)
"""llama.cpp's rules for byte-level vocabularies of files that name none, in the order in which they are applied."""


def unequal_lists(stated: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each per-token list that does not have one value for each token."""
    tokens = stated.get("tokens", [])
    for name in ("tokens", "token_type", "scores"):
        values = stated.get(name, tokens)
        if not isinstance(values, list):
            yield f"tokenizer.ggml.{name} is not a list"
        elif len(values) != len(tokens):
            yield f"tokenizer.ggml.{name} has {counted(len(values), 'value')} for {counted(len(tokens), 'token')}"


def end_tokens(stated: Mapping[str, Any]) -> list[int]:
    """Return the end-of-sequence, end-of-turn and end-of-message tokens; each ends a generated text in llama.cpp."""
    named = (stated.get(f"{end}_token_id") for end in ("eos", "eot", "eom"))
    return list(dict.fromkeys(int(token) for token in named if token is not None))


def apply_vocabulary(tokenizer: PreTrainedTokenizerBase, stated: Mapping[str, Any]) -> str | None:
    """Apply settings that a GGUF file states or implies and transformers does not read.

    Args:
        tokenizer: The tokenizer that transformers made from the file; modified in place.
        stated: All ``tokenizer.ggml.*`` fields of the file.

    Returns:
        The problem, as the end of a sentence; ``None`` if there is none.
    """
    if (problem := next(_unread(stated), None)) is not None:
        return _IGNORED.format(problem)
    if stated.get("model") == "gpt2":
        _spell_added_tokens(tokenizer, stated)
        if problem := _apply_word_rules(tokenizer, stated):
            return problem
    return _apply_flags(tokenizer, stated)


def _unread(stated: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings that could change tokens and that neither transformers nor this module reads."""
    count = len(stated.get("tokens", ()))
    for name, said in stated.items():
        if (
            (name == "model" and said not in _MODELS)
            or (name in _IDS and said not in range(count))
            or (name not in _READ and name not in _WITHOUT_EFFECT and said not in (False, []))
        ):
            yield f"{name} = {str(said)[:40]}"


def _apply_flags(tokenizer: PreTrainedTokenizerBase, stated: Mapping[str, Any]) -> str | None:
    """Apply the setting for a leading space, and check which tokens are added to a text."""
    backend: Any = tokenizer.backend_tokenizer
    spaced = stated.get("add_space_prefix", _adds_space(backend))
    if spaced and not _adds_space(backend):
        return _IGNORED.format("add_space_prefix = True")
    if not spaced and _adds_space(backend):
        backend.normalizer = normalizers.Replace(" ", "▁")
        backend.pre_tokenizer = None
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    for name in ("add_bos_token", "add_eos_token"):
        # Gemma 4's original tokenizer adds none, whatever the file says; its chat template does.
        if stated.get(name) and not getattr(tokenizer, name) and stated.get("model") != "gemma4":
            return f"specifies tokenizer.ggml.{name} = True, but names no such token"
    return None


def _adds_space(backend: Any) -> bool:  # noqa: ANN401 - tokenizers is not followed by mypy
    text = "a" if backend.normalizer is None else backend.normalizer.normalize_str("a")
    pieces = [(text, ())] if backend.pre_tokenizer is None else backend.pre_tokenizer.pre_tokenize_str(text)
    return bool(pieces[0][0].startswith(("▁", "Ġ")))


def _spell_added_tokens(tokenizer: PreTrainedTokenizerBase, stated: Mapping[str, Any]) -> None:
    """Have a byte-level tokenizer match user-defined and control tokens as they are written, such as runs of spaces.

    transformers encodes tokens with characters outside the byte alphabet as bytes, so they never match any text.
    """
    spelling = bytes_to_unicode()
    alphabet = set(spelling.values())
    kinds = dict(enumerate(stated.get("token_type", ())))
    added = {i: each for i, each in enumerate(stated["tokens"]) if kinds.get(i) in (_CONTROL, _USER_DEFINED)}
    if all(set(token) <= alphabet for token in added.values()):
        return
    changed: Any = tokenizer
    state = json.loads(changed.backend_tokenizer.to_str())
    state["model"]["vocab"] = {
        token if i in added or set(token) <= alphabet else "".join(spelling[byte] for byte in token.encode()): i
        for i, token in enumerate(stated["tokens"])
    }
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    state["added_tokens"] = [
        {"id": i, "content": token, **flags, "special": kinds[i] == _CONTROL} for i, token in added.items()
    ]
    # Its ids may be those of tokens that transformers appended to the vocabulary.
    state["post_processor"] = None
    changed._tokenizer = Tokenizer.from_str(json.dumps(state))
    changed.update_post_processor()


def _apply_word_rules(tokenizer: PreTrainedTokenizerBase, stated: Mapping[str, Any]) -> str | None:
    """Make a byte-level tokenizer split words by ``tokenizer.ggml.pre``."""
    kind = stated.get("pre", "default")
    backend: Any = tokenizer.backend_tokenizer
    if kind in _DIGITS_APART:
        digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    elif kind == "default":
        rules = [pre_tokenizers.Split(Regex(rule), behavior="isolated") for rule in _DEFAULT]
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([*rules, as_bytes])
    elif kind not in (*_AS_GPT2, *GGUF_PRE_TOKENIZER_SPLITS):
        return f"splits words by the rules of '{kind}', which are not supported"
    if kind in _BEGINS:
        backend.model.ignore_merges = True
        if "add_bos_token" not in stated and tokenizer.bos_token is not None:
            tokenizer.add_bos_token = True
    return None
