"""A small server that speaks the completions protocol with log-probabilities, around a real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import torch

from forgetmeter.models.loading import load


@dataclass
class Behaviour:
    """What a server does wrong, if anything.

    Attributes:
        shift: By how many places its log-probabilities are off.
        shift_after: Number of tokens up to which they are right.
        has_logprobs: Whether it returns log-probabilities.
        answers: Number of requests it answers before it fails; ``None`` for all.
        most: Number of tokens it reads; the rest is left out.
        window: Number of tokens at the end of a text that it heeds.
        renumbered: By how much the numbers of its tokens differ from those of its model's tokenizer.
        body: What it answers to everything.
        asked: Number of requests so far.
    """

    shift: int = 0
    shift_after: int = 0
    has_logprobs: bool = True
    answers: int | None = None
    most: int | None = None
    window: int | None = None
    renumbered: int = 0
    body: bytes | None = None
    asked: int = field(default=0)


@contextmanager
def serving(model: str, behaviour: Behaviour | None = None) -> Iterator[str]:
    """Serve a model on 127.0.0.1, and yield the URL of its completions; the server ends with the context."""
    behaviour = behaviour or Behaviour()
    loaded = load(model)

    def completion(prompt: list[int]) -> dict[str, Any]:
        size = len(loaded.tokenizer)
        prompt = [(token + behaviour.renumbered) % size for token in prompt[: behaviour.most]]
        heeded = prompt[-behaviour.window :] if behaviour.window else prompt
        with torch.inference_mode():
            logprobs = loaded.model(torch.tensor([heeded])).logits[0].log_softmax(-1)
        # It claims to have read the others.
        logprobs = torch.cat([logprobs[:1].expand(len(prompt) - len(heeded), -1), logprobs])
        next_token = int(logprobs[-1].argmax())
        own = [float(logprobs[place, token]) for place, token in enumerate((*prompt[1:], next_token))]
        best = [float(values.max()) for values in logprobs]
        # The first token has none; with a shift, each is listed with another token.
        listed: list[float | None] = [None, *own]
        tops: list[dict[str, float] | None] = [None, *({"best": value} for value in best)]
        shift = behaviour.shift if len(prompt) > behaviour.shift_after else 0
        if shift == 1:
            listed, tops = [None, own[0], *own[:-1]], [None, tops[1], *tops[1:-1]]
        elif shift == -1:
            listed, tops = [*own, own[-1]], [*tops[1:], tops[-1]]
        tokens = loaded.tokenizer.convert_ids_to_tokens([*prompt, next_token])
        found = {"tokens": tokens, "token_logprobs": listed, "top_logprobs": tops}
        return {"index": 0, "text": "", "logprobs": found if behaviour.has_logprobs else None}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            behaviour.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if behaviour.answers is not None and behaviour.asked > behaviour.answers:
                self.send_error(503, "out of memory")
                return
            prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
            choices = [{**completion(prompt), "index": place} for place, prompt in enumerate(prompts)]
            content = behaviour.body or json.dumps({"choices": choices}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Requests are not printed."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client may close its connection before it has the answer."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
