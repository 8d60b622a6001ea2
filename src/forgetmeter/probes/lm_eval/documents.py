"""Documents of lm-evaluation-harness tasks as items; a bad document becomes an item with a problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetmeter.basics.plural import counted
from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.choice_problems import BOTH_RIGHT_AND_WRONG, NO_RIGHT_CHOICE, NO_WRONG_CHOICE
from forgetmeter.probes.lm_eval.index import GENERATED
from forgetmeter.probes.lm_eval.prompting import MISSING, NO_ANSWER, PLAIN, MissingError, Prompting
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Item, Problem, Request, Requests

OTHER_FORM = "one right answer where other documents have a list, or the reverse"
NUMBER_ASKED = "its prompt is a number, which lm-evaluation-harness takes for the index of a choice"


@dataclass(frozen=True)
class Document:
    """A document of lm-eval and the item made from it."""

    doc: Any
    item: Item


def documents(task: Any, name: str, limit: int | None, prompting: Prompting = PLAIN) -> list[Document]:  # noqa: ANN401
    """Return a task's documents, with the same requests as lm-eval's ``build_all_requests``.

    A document that the task's definition cannot turn into valid requests becomes an item with a problem.

    Raises:
        UserError: The data set cannot be read, or every document has a problem.
    """
    found: list[Document] = []
    first_error = ""
    with quiet():
        try:
            docs = list(task.doc_iterator(rank=0, limit=limit, world_size=1))
        except Exception as error:
            raise UserError(
                f"task '{name}': its data set cannot be read ({one_line(error)}); "
                "correct the cause, or choose another task"
            ) from error
        for index, doc in docs:
            item_id = f"{name}/{index}"
            try:
                item = _item(task, item_id, doc, index, prompting)
            except Exception as error:  # noqa: BLE001 - definitions contain arbitrary templates and code
                kind = "" if isinstance(error, MissingError) else f"{type(error).__name__}: "
                first_error = first_error or f"{item_id}: {kind}{one_line(error)}"
                item = Item(item_id, _digest(str(doc)), Problem(_why_not(task, doc, error)))
            found.append(Document(doc, item))
    if found and all(each.item.problem for each in found):
        raise UserError(
            f"task '{name}': {counted(len(found), 'document')} tried, none of them valid "
            f"({first_error or found[0].item.problem}); see the task's definition in lm-evaluation-harness"
        )
    return found


def _why_not(task: Any, doc: Any, error: Exception) -> str:  # noqa: ANN401
    """Return why a document is not a valid item."""
    if isinstance(error, MissingError):
        return str(error)
    with suppress(Exception):
        text = task.doc_to_text(doc)
        if text is None:
            return MISSING
        if isinstance(text, int) and not task.multiple_input:
            return NUMBER_ASKED
    return f"{type(error).__name__} while building its requests"


def _item(task: Any, item_id: str, doc: Any, index: int, prompting: Prompting) -> Item:  # noqa: ANN401
    is_chat = prompting.chat_template is not None
    context = task.fewshot_context(
        doc,
        num_fewshot=task.config.num_fewshot or 0,
        system_instruction=prompting.system_instruction,
        apply_chat_template=is_chat,
        fewshot_as_multiturn=is_chat,
        chat_template=prompting.chat_template,
        gen_prefix=task.doc_to_prefix(doc),
    )
    metadata = (task.config["task"], index, task.config.repeats)
    made = task.construct_requests(
        doc=doc,
        ctx=context,
        metadata=metadata,
        apply_chat_template=is_chat,
        chat_template=prompting.chat_template,
    )
    if task.OUTPUT_TYPE == GENERATED:
        return _written(task, item_id, doc, Generation(*made.args))
    instances = sorted(made if isinstance(made, list) else [made], key=lambda instance: instance.idx)
    requests = Requests(Request(*instance.args) for instance in instances)
    choices, gold = _choices(task, doc, requests)
    is_judged_by_gold = not callable(task.config.process_results)
    problem = _problem(task, doc, requests[: len(choices)], gold) if is_judged_by_gold else None
    if problem is None:
        # Documents that cannot be judged are found up front, before a model answers them.
        with np.errstate(all="ignore"):
            task.process_results(doc, [(-1.0, False)] * len(requests))
    asks = requests if problem is None else Problem(problem)
    return Item(item_id, requests_hash(requests, choices, gold), asks, choices, gold)


def _written(task: Any, item_id: str, doc: Any, generation: Generation) -> Item:  # noqa: ANN401
    target = task.doc_to_target(doc)
    asks: Generation | Problem = generation
    if not callable(task.config.process_results):
        if target is None:
            asks = Problem(NO_ANSWER)
        elif target == []:
            asks = Problem(NO_RIGHT_CHOICE)
        elif isinstance(target, list) != bool(task.multiple_target):
            asks = Problem(OTHER_FORM)
    return Item(item_id, generation_hash([(generation.context, generation.arguments)], str(target)), asks)


def generation_hash(requests: Sequence[Sequence[Any]], target: str) -> str:
    """Return the content hash of an item that asks for generated text.

    Args:
        requests: The context and the generation settings of the item's single request.
        target: The right answer, or the list of them, as text.
    """
    return _digest(json.dumps([requests, target], sort_keys=True))


def requests_hash(requests: Requests, choices: Sequence[str], gold: Sequence[int]) -> str:
    """Return the content hash of an item that asks for continuations."""
    content = json.dumps([[[r.context, r.continuation] for r in requests], choices, gold], ensure_ascii=False)
    return _digest(content)


def _problem(task: Any, doc: Any, requests: Sequence[Request], gold: Sequence[int]) -> str | None:  # noqa: ANN401
    """Return why lm-eval's rules cannot judge a document, such as that every answer would be wrong or right."""
    if not gold:
        return NO_RIGHT_CHOICE
    if {requests[place] for place in gold} & {each for place, each in enumerate(requests) if place not in gold}:
        return BOTH_RIGHT_AND_WRONG
    if task.OUTPUT_TYPE == "multiple_choice" and len(set(gold)) == len(requests):
        return NO_WRONG_CHOICE
    if task.OUTPUT_TYPE == "multiple_choice" and not task.multiple_input:
        is_list = isinstance(task.doc_to_target(doc), list)
        return OTHER_FORM if is_list != bool(task.multiple_target) else None
    return None


def _choices(task: Any, doc: Any, requests: Sequence[Request]) -> tuple[tuple[str, ...], tuple[int, ...]]:  # noqa: ANN401
    gold = task.doc_to_target(doc)
    if gold is None:
        raise MissingError(NO_ANSWER)
    if task.OUTPUT_TYPE == "loglikelihood":
        return (requests[0].continuation,), (0,)
    listed = task.doc_to_choice(doc)
    if isinstance(listed, str):
        # Its characters would be the choices.
        raise TypeError("the choices are a string, not a list")
    choices = tuple(str(choice) for choice in listed)
    if task.multiple_input:
        gold = task.doc_to_text(doc)
    places = {choice: place for place, choice in reversed(list(enumerate(choices)))}
    indices = [
        places.get(answer, -1) if isinstance(answer, str) else int(answer)
        for answer in (gold if isinstance(gold, list) else [gold])
    ]
    return choices, tuple(index for index in indices if 0 <= index < len(choices))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]
