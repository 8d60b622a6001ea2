"""Checks a recipe against a model before any work."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from forgetmeter.basics.plural import counted, listed
from forgetmeter.compression.applying.step import dropped_blocks, own_weights
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.registry import declared_problems, drops_blocks, load_method
from forgetmeter.compression.surgery.block_dropping import drop_blocks
from forgetmeter.errors import UserError
from forgetmeter.models.roles.weight_map import left_alone
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.specs.role import Matrix, Role
from forgetmeter.specs.scope import SURE_SELECTORS, Scope, pattern_of, unnumbered

_COMPONENTS = ("attention", "feed_forward", "mixer")
_MOST_NAMES = 4
_LONGEST = 700
"""Length of the longest regular expression that a message suggests."""
_MOST_WEIGHTS = 20


def recipe_problems(
    recipe: Recipe,
    matrices: Sequence[Matrix],
    *,
    model: PreTrainedModel | None = None,
    originals: Mapping[Matrix, Weight] | None = None,
) -> list[str]:
    """Return one sentence per problem with a recipe for a model with these matrices; nothing is computed.

    Args:
        recipe: The recipe.
        matrices: The model's ``weight_map``.
        model: The model or its skeleton; if given, dropping blocks is tried and undone, and for a scope
            that selects nothing, the problem says what it would select if recipes did not leave it alone.
        originals: The ``own_weights`` of the model, if they are already known.
    """
    declared = [problem for step in recipe.steps for problem in declared_problems(step)]
    problems = [*declared]
    selections = [(step, step.scope.select(matrices)) for step in recipe.steps]
    for step, selected in selections:
        problems += _scope_problems(step, selected, matrices, model)
        if selected and not declared_problems(step):
            problems += _method_problems(step, selected, matrices)
    if not declared:
        problems += _order_problems(selections)
    if model is not None and not problems:
        problems += _drop_problems(recipe, model, lambda: originals or own_weights(model, matrices))
    return list(dict.fromkeys(problems))


def activation_problems(recipe: Recipe) -> list[str]:
    """Return one sentence per step that needs activations, for a recipe without other problems."""
    return [
        f"'{step}' needs activations: pass token ids to calibrate on "
        "(forgetmeter.compress(loaded, recipe, calibration=…)), or choose a method or options that need only weights; "
        "forgetmeter run and forgetmeter compress read a text by themselves"
        for step in recipe.steps
        if sees_activations(step)
    ]


def meaning(recipe: Recipe, matrices: Sequence[Matrix]) -> Hashable:
    """Return a key that is equal for valid recipes with the same effect on a model with these matrices.

    Scopes are compared by the matrices they select, and omitted options by their defaults. Neighbouring steps with
    disjoint matrices may come in either order, unless one of them needs activations. The scopes of the published
    scripts (``paper/…``) stay distinct from plain ones, since findings compare the two.
    """
    left = [_Meant.of(step, matrices) for step in recipe.steps]
    ordered: list[_Meant] = []
    while left:
        free = [one for place, one in enumerate(left) if all(one.commutes(before) for before in left[:place])]
        ordered.append(min(free, key=lambda one: one.key))
        left.remove(ordered[-1])
    return tuple(one.key for one in ordered)


@dataclass(frozen=True)
class _Meant:
    key: tuple[str, ...]
    matrices: frozenset[Matrix]
    sees_activations: bool

    @classmethod
    def of(cls, step: Step, matrices: Sequence[Matrix]) -> _Meant:
        method = load_method(step.method)
        options = (f"{name}={value!r}" for name, value in sorted(method.declaration.values(step).items()))
        selected = step.scope.select(matrices)
        published = step.scope.selector.partition("/")[0] == "paper"
        key = (step.method, repr(step.level), str(published), *options, *map(str, selected))
        return cls(key, frozenset(selected), sees_activations(step))

    def commutes(self, other: _Meant) -> bool:
        return not (self.sees_activations or other.sees_activations or self.matrices & other.matrices)


def needs_float32(recipe: Recipe) -> bool:
    """Whether 16-bit weights are compressed in float32, as a run does, because rounding in between would show.

    So do recipes that read activations, and steps after one that rewrites weights.
    """
    effects = [load_method(step.method).declaration.effect for step in recipe.steps]
    return needs_activations(recipe) or "rewrites" in effects[:-1]


def needs_activations(recipe: Recipe) -> bool:
    """Whether a step of a (checked) recipe needs activations."""
    return any(sees_activations(step) for step in recipe.steps)


def sees_activations(step: Step) -> bool:
    """Whether a (checked) step needs activations."""
    method = load_method(step.method)
    return method.needs_activations(method.declaration.values(step))


def _method_problems(step: Step, selected: Sequence[Matrix], matrices: Sequence[Matrix]) -> Iterator[str]:
    method = load_method(step.method)
    declaration = method.declaration
    if refused := list(_form_problems(step, declaration, selected, matrices)):
        yield from refused
        return
    for problem in method.problems(selected, step.level, declaration.values(step), model=matrices):
        yield problem if step.method in problem else f"'{step}': {problem}"
    yield from _idle_problems(step, declaration, selected)


def _scope_problems(
    step: Step, selected: Sequence[Matrix], matrices: Sequence[Matrix], model: PreTrainedModel | None
) -> list[str]:
    anywhere = replace(step.scope, selector="regex", pattern=".")
    ambiguous = list(_unknown_role_problems(step, anywhere.select(matrices)))
    if not selected:
        return ambiguous or [_nothing_selected(step.scope, matrices, model)]
    return [*_layer_problems(step, matrices), *ambiguous]


def _nothing_selected(scope: Scope, matrices: Sequence[Matrix], model: PreTrainedModel | None) -> str:
    pattern = scope.pattern or ""
    embedding = next((each.parameter for each in matrices if each.is_lookup), "")
    if pattern and re.search(pattern, embedding):
        return (
            f"scope '{scope}' selects only the token embedding ({embedding}), which has its own scope: write "
            "token_embedding"
        )
    alone: dict[str, list[str]] = {}
    reasons = {} if model is None or scope.pattern is None else left_alone(model)
    for name, reason in reasons.items():
        if re.search(pattern, name):
            alone.setdefault(reason, []).append(name)
    if alone:
        named = (f"{listed(names, 1)} ({reason})" for reason, names in alone.items())
        return f"scope '{scope}' selects only weights that recipes do not change: {', '.join(named)}"
    unknown = [matrix.parameter for matrix in matrices if matrix.role.component == "unknown"]
    roles = ", ".join(dict.fromkeys(str(each.role) for each in matrices if each.parameter not in unknown)) or "none"
    by_name = f"; others by name, such as regex({pattern_of(unknown, most=1)})" if unknown else ""
    kinds = f"roles in this model: {roles}{by_name}"
    if scope.pattern is not None:
        names = list(dict.fromkeys(unnumbered(matrix.parameter) for matrix in matrices if not matrix.is_lookup))
        kinds = f"its weights: {listed(names, _MOST_WEIGHTS)}"
    layers = {each.layer for each in matrices if each.layer is not None} if scope.layers else ()
    numbers = f"layers 0 to {max(layers)}, " if layers else ""
    return f"scope '{scope}' selects no weight matrix of the model ({numbers}{kinds}){_already_quantized(model)}"


def _already_quantized(model: PreTrainedModel | None) -> str:
    """Say that an earlier recipe left layers without plain weights; empty if none did."""
    modules = () if model is None else model.named_modules()
    # Dense parts of a fused weight are buffers as well.
    weights = ((path, each._buffers.get("weight")) for path, each in modules)
    layers = [path for path, weight in weights if weight is not None and not weight.is_floating_point()]
    if not layers:
        return ""
    return f"; already quantized: {listed(layers, 1)}; write one recipe, with the step that quantizes at the end"


def _layer_problems(step: Step, matrices: Sequence[Matrix]) -> Iterator[str]:
    """Refuse a range of layers that ends beyond the model's last one."""
    if step.scope.layers is None:
        return
    first, last = step.scope.layers
    anywhere = replace(step.scope, layers=None, pattern=None, selector="overall")
    most = max((matrix.layer for matrix in anywhere.select(matrices) if matrix.layer is not None), default=last)
    if last > most:
        yield f"scope '{step.scope}' ends at layer {last}, but the model's last is {most}; write layers[{first}-{most}]"


def _idle_problems(step: Step, declaration: MethodDeclaration, selected: Sequence[Matrix]) -> Iterator[str]:
    """Refuse a fraction that rounds to nothing: the variant would be the baseline under another name."""
    if declaration.pools is None or declaration.level != "fraction":
        return
    level = float(step.level or 0)
    largest = max(declaration.pools.sizes(selected, declaration.values(step)), default=0)
    if largest and not round(level * largest):
        things = declaration.pools.things
        several = "" if largest == 1 else f"; a level above 1/{2 * largest:,} removes some"
        number = counted(largest, things.removesuffix("s"))
        yield f"'{step}' changes nothing: level {level:g} of {number} rounds to 0 {things}{several}"


def _form_problems(
    step: Step, declaration: MethodDeclaration, selected: Sequence[Matrix], matrices: Sequence[Matrix]
) -> Iterator[str]:
    refused = [matrix for matrix in selected if not _has_form(declaration, matrix)]
    if refused:
        parameters = dict.fromkeys(matrix.parameter for matrix in refused)
        others = f" (the first of {len(parameters)} such weights)" if len(parameters) > 1 else ""
        supported = "linear layers and experts" if "tensor" in declaration.forms else "linear layers only"
        by_name = scope_by_name(step.scope, [each for each in selected if each.parameter not in parameters], matrices)
        them = "it" if len(parameters) == 1 else "them"
        instead = f"for the scope without {them}, write {by_name}" if by_name else f"choose a scope without {them}"
        yield (
            f"{declaration.name} supports {supported}, and {refused[0].parameter}{others} {_why_refused(refused[0])}; "
            f"{instead}"
        )


def _has_form(declaration: MethodDeclaration, matrix: Matrix) -> bool:
    is_bare = matrix.form in ("tensor", "transposed") and not matrix.holds_experts
    return matrix.form in declaration.forms and not (declaration.needs_kernel and is_bare)


def scope_by_name(scope: Scope, selected: Sequence[Matrix], matrices: Sequence[Matrix] = ()) -> Scope | None:
    """Return a scope of these matrices: a component, if it holds just these of ``matrices``, or else by name.

    ``None`` if there are none, too many for names, or parts of parameters.
    """
    for component in _COMPONENTS:
        whole = replace(scope, selector=component, pattern=None)
        if selected and whole.select(matrices) == tuple(selected):
            return whole
    pattern = pattern_of(each.parameter for each in selected)
    if not selected or len(pattern) > _LONGEST or any(each.ranges for each in selected):
        return None
    return replace(scope, selector="regex", pattern=pattern)


def _why_refused(matrix: Matrix) -> str:
    if matrix.is_lookup:
        return "is the token embedding, of which a text looks up rows"
    if matrix.form == "array":
        return "is an array, not a matrix of outputs and inputs"
    if matrix.form == "conv1d":
        return "belongs to a Conv1D, which holds inputs before outputs"
    if matrix.holds_experts:
        return "holds all experts of a block in one tensor"
    if matrix.role.component == "unknown":
        return "is not known to be a layer's weight"
    return "is read by its block's own code, not through a linear layer"


def _order_problems(selections: Iterable[tuple[Step, Sequence[Matrix]]]) -> Iterator[str]:
    """Refuse steps that would change integers: once quantized, weights can only be zeroed at their scale."""
    quantized: dict[Matrix, Step] = {}
    kernels: list[Step] = []
    for number, (step, selected) in enumerate(selections):
        declaration = load_method(step.method).declaration
        effect = declaration.effect
        if declaration.follows_others and not number:
            yield f"step '{step}' undoes the damage of earlier steps, and there are none: put it after another step"
        if declaration.needs_gradients and kernels:
            yield (
                f"step '{step}' trains the model, and the kernels of '{kernels[0]}' have no gradients: put it before "
                "that one"
            )
        kernels += [step] if declaration.needs_kernel else []
        if effect != "zeroes":
            yield from _quantized_before(step, selected, quantized)
        if effect == "quantizes":
            quantized.update(dict.fromkeys(selected, step))


def _quantized_before(step: Step, selected: Sequence[Matrix], quantized: Mapping[Matrix, Step]) -> Iterator[str]:
    first = next((matrix for matrix in selected if matrix in quantized), None)
    if first is not None:
        is_second = load_method(step.method).declaration.effect == "quantizes"
        instead = "remove one of the two" if is_second else f"put this step before '{quantized[first]}'"
        yield (
            f"step '{step}' comes after '{quantized[first]}', which already quantizes {first}; quantized weights can "
            f"only be pruned: {instead}, or choose scopes that do not overlap"
        )


def _drop_problems(
    recipe: Recipe, model: PreTrainedModel, originals: Callable[[], Mapping[Matrix, Weight]]
) -> Iterator[str]:
    """Report blocks that the model's configuration cannot lose, and steps whose blocks earlier ones drop."""
    if drops_blocks(recipe):
        try:
            drop_blocks(model, dropped_blocks(recipe, originals()))()
        except UserError as error:
            yield str(error)


def _unknown_role_problems(step: Step, matrices: Sequence[Matrix]) -> Iterator[str]:
    selector = step.scope.selector
    problem = unknown_role_problem(matrices, selector)
    if problem and selector not in SURE_SELECTORS:
        unknown = [matrix.parameter for matrix in matrices if _is_unknown(matrix.role, selector)]
        if by_name := scope_by_name(step.scope, step.scope.select(matrices)):
            instead = f"to select only those that are known to be in it, write {by_name}"
        else:
            pattern, every = pattern_of(unknown, most=_MOST_NAMES), pattern_of(unknown)
            first = "" if pattern == every else ", which selects the first of them (forgetmeter list scopes names all)"
            instead = f"select weights by name, such as regex({pattern}){first}"
        yield f"scope '{step.scope}' is ambiguous: {problem}; {instead}"


def unknown_role_problem(matrices: Sequence[Matrix], selector: str = "overall") -> str:
    """Return why a selector by role cannot be used; empty if it is known for each weight whether it is selected."""
    unknown = [matrix for matrix in matrices if _is_unknown(matrix.role, selector)]
    if not unknown:
        return ""
    have = "has" if len(unknown) == 1 else "have"
    number = counted(len(unknown), "weight")
    what = "role" if any(each.role.component == "unknown" for each in unknown) else "part"
    return f"{number} of the model {have} an unknown {what} (first: {unknown[0].parameter})"


def recipes_of_unknown(matrices: Sequence[Matrix]) -> list[str]:
    """Return examples of recipes, as text, that fit a model with weights of unknown role."""
    pattern = pattern_of((each.parameter for each in matrices if _is_unknown(each.role, "overall")), most=1)
    recipes = (f"round_to_nearest:regex({pattern}):8", "l1_unstructured:head:0.5")
    return [text for text in recipes if not recipe_problems(parse_recipe(text), matrices)]


def _is_unknown(role: Role, selector: str) -> bool:
    """Whether it is unknown if a selector such as ``attention.query`` selects a matrix."""
    component, _, part = selector.partition(".")
    return role.component == "unknown" or (bool(part) and role.component == component and role.part is None)
