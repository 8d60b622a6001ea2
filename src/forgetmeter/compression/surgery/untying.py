"""Untie the output head from the embedding."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedModel

from forgetmeter.specs.role import Matrix


def declare_untied(model: PreTrainedModel, head: Matrix) -> Callable[[], None]:
    """Keep ``tie_weights``, saving and reloading from tying the head to the embedding again.

    If only the head is tied, the configuration turns tying off. But BERT's configuration also ties a bias, and that of
    T5 and BART the embeddings of both stacks, which would be missing from a checkpoint whose configuration ties
    nothing; T5's also decides whether the decoder's output is scaled. For these the configuration stays and the model
    drops this one tie: on loading, transformers leaves a head untied if its weights differ from the embedding's.

    Returns:
        A function that undoes the declaration.
    """
    undo_rest = _forget_in_class(model, head.parameter) if stays_tied(model, head) else _untie_config(model)
    undo_ties = _forget(getattr(model, "all_tied_weights_keys", {}), head.parameter)

    def undo() -> None:
        undo_ties()
        undo_rest()

    return undo


def stays_tied(model: PreTrainedModel, head: Matrix) -> bool:
    """Whether the configuration must keep tying when the head is untied, because it also ties something else."""
    return any(tied != head.parameter for tied in getattr(model, "all_tied_weights_keys", {}))


def _untie_config(model: PreTrainedModel) -> Callable[[], None]:
    configs = {id(config): config for config in (model.config, model.config.get_text_config(decoder=True))}
    before = [(config, getattr(config, "tie_word_embeddings", None)) for config in configs.values()]
    for config in configs.values():
        config.tie_word_embeddings = False

    def undo() -> None:
        for config, tied in before:
            config.tie_word_embeddings = tied

    return undo


def _forget_in_class(model: PreTrainedModel, parameter: str) -> Callable[[], None]:
    """Override the class's list of ties on the instance."""
    own = vars(model).get("_tied_weights_keys")
    declared = model._tied_weights_keys or {}
    model._tied_weights_keys = {target: source for target, source in declared.items() if target != parameter}

    def undo() -> None:
        if own is None:
            del model._tied_weights_keys
        else:
            model._tied_weights_keys = own

    return undo


def _forget(ties: dict[str, str], parameter: str) -> Callable[[], None]:
    before = dict(ties)
    ties.pop(parameter, None)

    def undo() -> None:
        ties.clear()
        ties.update(before)

    return undo
