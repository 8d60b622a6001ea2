"""llama.cpp in this process: a GGUF file answers by the kernels with which it is run, not by its unpacked weights."""

from __future__ import annotations

from ctypes import create_string_buffer
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import Llama, llama_log_callback, llama_log_set, llama_token_to_piece
from lm_eval.api.model import TemplateLM
from numpy.typing import NDArray

from forgetmeter.records.generation import Generation, before_ends

_BATCH = 512
_ROUNDED = 256


@llama_log_callback  # type: ignore[untyped-decorator]
def _silent(_level: int, _text: bytes, _data: object) -> None:
    """Print nothing: problems are raised as errors, and llama.cpp would bypass Python's streams."""


class LlamaCpp(TemplateLM):  # type: ignore[misc]
    """A GGUF file in llama.cpp, with its own tokenizer.

    Args:
        file: The GGUF file.
        n_ctx: Maximum number of tokens it reads.
        n_threads: Threads to compute with; by default, llama.cpp chooses.
        n_gpu_layers: Layers to compute on a GPU, in builds that can; -1 for all.
    """

    def __init__(self, file: Path, *, n_ctx: int, n_threads: int | None = None, n_gpu_layers: int = 0) -> None:
        super().__init__()
        llama_log_set(_silent, None)
        self._llama = Llama(
            str(file),
            # As llama.cpp rounds it; the array of logits would be smaller.
            n_ctx=-(-n_ctx // _ROUNDED) * _ROUNDED,
            n_batch=_BATCH,
            n_threads=n_threads,
            n_gpu_layers=n_gpu_layers,
            logits_all=True,
            verbose=False,
        )
        self._n_ctx = self._llama.n_ctx()

    @property
    def eot_token_id(self) -> int:
        """The token with which a text ends."""
        return int(self._llama.token_eos())

    @property
    def prefix_token_id(self) -> int:
        """The token with which a text begins."""
        begin = int(self._llama.token_bos())
        return self.eot_token_id if begin < 0 else begin

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: ANN401
        """Tokenize a text; special tokens in it are read as such, as transformers does."""
        is_begun = add_special_tokens is not False and self._adds_beginning
        return list(self._llama.tokenize(string.encode(), add_bos=is_begun, special=True))

    @property
    def _adds_beginning(self) -> bool:
        metadata = self._llama.metadata
        # llama.cpp's own default for SentencePiece.
        default = "true" if metadata.get("tokenizer.ggml.model") == "llama" else "false"
        return bool(metadata.get("tokenizer.ggml.add_bos_token", default) == "true")

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: object
    ) -> list[tuple[float, bool]]:
        found: dict[int, tuple[float, bool]] = {}
        # Neighbours in this order share the longest beginnings, which are read once.
        for place in sorted(range(len(requests)), key=lambda place: [*requests[place][1], *requests[place][2]]):
            found[place] = self._score(*requests[place][1:])
        return [found[place] for place in range(len(requests))]

    def _score(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        tokens = [*context, *continuation][-(self._n_ctx) - 1 :]
        inputs = tokens[:-1]
        first = len(tokens) - len(continuation) - 1
        self._read(inputs)
        logits = np.asarray(self._llama.scores[first : len(inputs)], dtype=np.float64)
        own = np.asarray(continuation)
        logprobs = _log_softmax(logits)[np.arange(len(own)), own]
        return float(logprobs.sum()), bool((logits.argmax(axis=-1) == own).all())

    def _read(self, tokens: list[int]) -> None:
        """Read tokens from the first one that differs from those that were read before."""
        llama = self._llama
        seen = llama.input_ids[: llama.n_tokens].tolist()
        differs = (place for place, (one, other) in enumerate(zip(seen, tokens, strict=False)) if one != other)
        kept = next(differs, min(len(seen), len(tokens)))
        if kept == len(tokens):
            return
        # A recurrent state cannot be taken back to an earlier token.
        if kept < len(seen) and not llama._ctx.kv_cache_seq_rm(-1, kept, -1):
            llama.reset()
        else:
            llama.n_tokens = kept
        llama.eval(tokens[llama.n_tokens :])

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:  # noqa: ANN401
        """Refuse: whole texts are not supported."""
        raise NotImplementedError

    def generate_until(self, requests: Any, **_: object) -> list[str]:  # noqa: ANN401
        """Write the most likely text after each context, truncated like that of lm-evaluation-harness's ``hf``."""
        return [self._write(Generation(*request.args)) for request in requests]

    def _write(self, generation: Generation) -> str:
        room = self._n_ctx - generation.max_tokens
        if room < 1:
            raise ValueError(
                f"answers of up to {generation.max_tokens} tokens leave no room in n_ctx={self._n_ctx}; raise n_ctx"
            )
        context = self.tok_encode(generation.context)[-room:] or [self.prefix_token_id]
        ends = [*generation.until, self._text([self.eot_token_id], special=True)]
        written: list[int] = []
        while len(written) < generation.max_tokens and not any(end and end in self._text(written) for end in ends):
            self._read([*context, *written])
            token = int(self._llama.scores[len(context) + len(written) - 1].argmax())
            if token == self.eot_token_id:
                break
            written.append(token)
        return before_ends(self._text(written), ends)

    def _text(self, tokens: list[int], *, special: bool = False) -> str:
        return b"".join(self._piece(token, special=special) for token in tokens).decode(errors="replace")

    def _piece(self, token: int, *, special: bool, size: int = 64) -> bytes:
        # llama-cpp-python's own method cuts what is longer than 32 bytes.
        piece = create_string_buffer(size)
        length = llama_token_to_piece(self._llama._model.vocab, token, piece, size, 0, special)
        return piece.raw[:length] if length >= 0 else self._piece(token, special=special, size=-length)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalized: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalized
