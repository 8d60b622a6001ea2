"""Reading a study from a YAML file or command-line options; all errors are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from forgetmeter.config.entries import Candidates, candidates_of, recipes_of
from forgetmeter.config.study import AUTO, MAX_SEED, CalibrationSettings, Device, DType, Evaluation, Study
from forgetmeter.config.vocabulary import PermissiveVocabulary, Vocabulary
from forgetmeter.errors import ManyUserError, UserError, refusing_unreadable
from forgetmeter.probes.registry import canonical_name, declarations, find_task, is_declared
from forgetmeter.specs.condition import parse_limit
from forgetmeter.specs.model_reference import FORMS, ModelReference, parse_model_reference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.yaml_lines import read_yaml

# More than any data set has, and small enough for stored counts.
_MOST_ITEMS = 10**9
_MOST_EXAMPLES = 1000
_MOST_SEQUENCES = 10**6
_LONGEST_SEQUENCE = 10**6
_WIDEST = 0.5
# An option that says when a cell stops replaces the file's other rule.
_OTHER_RULE = {"evaluation.margin": "precision", "evaluation.precision": "margin"}
_TYPES = {
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "list_type": "must be a list",
    "string_type": "must be text",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "greater_than_equal": "must be at least {ge}",
    "literal_error": "must be one of {expected}",
}


_Value = TypeVar("_Value")


def _vocabulary(info: ValidationInfo) -> Vocabulary:
    vocabulary: Vocabulary = (info.context or {})["vocabulary"]
    return vocabulary


def _complain(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems))


def _recipes(entry: Any, info: ValidationInfo) -> tuple[Recipe, ...]:  # noqa: ANN401
    recipes = _checked(recipes_of, entry)
    if any(recipe.candidate for recipe in recipes):
        raise ValueError(
            "a candidate is not a recipe; use forgetmeter compare, or list it under candidates in a study file"
        )
    _complain(_problems(recipes, info))
    return recipes


def _candidates(entry: Any, info: ValidationInfo) -> Candidates:  # noqa: ANN401
    candidates = _checked(candidates_of, entry)
    found = [problem for each in candidates.references for problem in _vocabulary(info).model_problems(each)]
    _complain(found + _problems(candidates.recipes, info))
    return candidates


def _problems(recipes: Iterable[Recipe], info: ValidationInfo) -> list[str]:
    # A grid repeats the same problem for each level.
    return list(dict.fromkeys(problem for recipe in recipes for problem in _vocabulary(info).recipe_problems(recipe)))


def _task(entry: Any, info: ValidationInfo) -> str:  # noqa: ANN401
    name = _checked(task_of, entry)
    # If the folders themselves are wrong, their tasks are not reported as unknown.
    if "task_folders" in info.data:
        _complain(_vocabulary(info).task_problems(name, info.data["task_folders"]))
    return name


def _model(entry: Any, info: ValidationInfo) -> ModelReference:  # noqa: ANN401
    if not isinstance(entry, str):
        raise ValueError(f"'{entry}' is not a valid model; write {FORMS}")
    reference = _checked(parse_model_reference, entry)
    if reference.source == "engine":
        raise ValueError(
            f"'{reference}': an engine can be a candidate, but not a baseline; list it under candidates in a study, or "
            "use forgetmeter compare"
        )
    _complain(_vocabulary(info).model_problems(reference))
    return reference


def _checked(read: Callable[[Any], _Value], entry: Any) -> _Value:  # noqa: ANN401
    # pydantic collects ValueErrors, each with its location.
    try:
        return read(entry)
    except UserError as error:
        raise ValueError("; ".join(str(error).splitlines())) from None


def _one_of(kind: str, choices: tuple[str, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:  # noqa: ANN401
        if value not in choices:
            raise ValueError(unknown(kind, str(value), choices))
        return value

    return check


def _precision(value: Any) -> Any:  # noqa: ANN401
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _WIDEST
    ):
        raise ValueError(
            f"precision must be a number above 0 and at most {_WIDEST}, not {value}; 0.05 stops once the drop in "
            "accuracy is known to within ±5 points"
        )
    return value


def _margin(value: Any) -> Any:  # noqa: ANN401
    if value is None:
        return None
    try:
        return parse_limit("drop", value)
    except UserError as error:
        raise ValueError(str(error)) from None


def _output(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("output must be the folder or URL of the run")
    return value


def _filled(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
    if isinstance(value, str) and not value.strip():
        rest = (
            "write a text, or null for none" if info.field_name == "system_instruction" else "give the path of a file"
        )
        raise ValueError(f"{info.field_name} is empty; {rest}")
    return value


def _section(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
    if value is not None and not isinstance(value, dict):
        name = str(info.field_name)
        raise ValueError(f"{name} must be a mapping of {', '.join(_SECTIONS[name].model_fields)}, not '{value}'")
    return value or {}


def _batch_tokens(value: Any) -> Any:  # noqa: ANN401
    return None if value == "auto" else value


class _EvaluationSection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    limit: Annotated[int, Field(gt=0, le=_MOST_ITEMS)] | None = None
    precision: Annotated[float | None, BeforeValidator(_precision)] = None
    margin: Annotated[float | None, BeforeValidator(_margin)] = None
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED + 1)] = 0
    dtype: Annotated[DType, BeforeValidator(_one_of("dtype", ("float32", "bfloat16", "float16")))] = "float32"
    device: Annotated[Device, BeforeValidator(_one_of("device", ("auto", "cpu", "cuda", "mps")))] = "auto"
    batch_tokens: Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_batch_tokens)] = None
    noise_floor: bool = False
    profile: bool = False
    num_fewshot: Annotated[int, Field(ge=0, le=_MOST_EXAMPLES)] | None = None
    system_instruction: Annotated[str | None, BeforeValidator(_filled)] = None
    chat_template: bool = False


class _CalibrationSection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    text: Annotated[str, BeforeValidator(_filled)] = AUTO
    sequences: Annotated[int, Field(gt=0, le=_MOST_SEQUENCES)] = CalibrationSettings.sequences
    length: Annotated[int, Field(gt=1, le=_LONGEST_SEQUENCE)] = CalibrationSettings.length
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED + 1)] = 0


class _StudySection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
    models: Annotated[list[Annotated[ModelReference, BeforeValidator(_model)]], Field(min_length=1)]
    recipes: Annotated[list[Annotated[tuple[Recipe, ...], BeforeValidator(_recipes)]], Field(min_length=1)] = []
    candidates: Annotated[list[Annotated[Candidates, BeforeValidator(_candidates)]], Field(min_length=1)] = []
    # Before the tasks, which are looked for in them.
    task_folders: list[str] = []
    tasks: Annotated[list[Annotated[str, BeforeValidator(_task)]], Field(min_length=1)]
    evaluation: Annotated[_EvaluationSection, BeforeValidator(_section)] = _EvaluationSection()
    calibration: Annotated[_CalibrationSection, BeforeValidator(_section)] = _CalibrationSection()
    output: Annotated[str, BeforeValidator(_output)]


_LINE = re.compile(r":\d+$")
_SECTIONS: dict[str, type[BaseModel]] = {
    "": _StudySection,
    "evaluation": _EvaluationSection,
    "calibration": _CalibrationSection,
}


def read_study_file(
    path: Path, *, overrides: Mapping[str, Any] | None = None, vocabulary: Vocabulary | None = None
) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file.
        overrides: Values from the command line by dotted key, such as ``evaluation.limit``.
        vocabulary: The known names; without it, only the form is checked.

    Raises:
        UserError: The file cannot be read.
        ManyUserError: The study is not valid; each error has its line.
    """
    if path.is_char_device():
        raise UserError(f"study file '{path}' is a device, not a file")
    with refusing_unreadable(f"study file '{path}'"):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            hint = "check the path" if path.suffix in (".yaml", ".yml") else "a model is named with --model"
            raise UserError(f"study file '{path}' does not exist; {hint}") from None
        except IsADirectoryError:
            raise UserError(f"'{path}' is a folder, not a study file; a model is named with --model") from None
    document = read_yaml(text, path.name)
    if not isinstance(document.data, dict):
        raise UserError(
            f"{path.name}:1: a study must be a YAML mapping; allowed keys: {', '.join(_StudySection.model_fields)}"
        )
    data, given = _merge(document.data, overrides or {})

    def place(loc: tuple[str | int, ...]) -> str:
        if ".".join(map(str, loc[:2])) in given or str(loc[0]) in given:
            return option_name(_key(loc))
        return f"{path.name}:{document.line(loc)}"

    return study_from(data, place=place, vocabulary=vocabulary)


def option_name(key: str) -> str:
    """Return the option of the command line for a dotted key."""
    names = {
        "models": "--model",
        "output": "--out",
        "task_folders": "--task-folder",
        "calibration.text": "--calibration",
    }
    return names.get(key, f"--{key.rpartition('.')[2].replace('_', '-')}")


def argument_name(key: str) -> str:
    """Return what a command that takes a model as its argument calls a dotted key."""
    return "MODEL" if key == "models" else option_name(key)


def study_from_options(
    options: Mapping[str, Any], *, vocabulary: Vocabulary | None = None, name: Callable[[str], str] = option_name
) -> Study:
    """Check a study given as values by dotted key.

    Args:
        options: The values.
        vocabulary: The known names; without it, only the form is checked.
        name: Returns what errors call a dotted key; by default, its option on the command line.

    Raises:
        ManyUserError: The study is not valid; each error names its key.
    """
    data, _ = _merge({}, options)
    return study_from(data, place=lambda loc: name(_key(loc)), vocabulary=vocabulary)


def study_from(
    data: Mapping[str, Any],
    *,
    place: Callable[[tuple[str | int, ...]], str],
    vocabulary: Vocabulary | None = None,
) -> Study:
    """Check a study given as plain values.

    Args:
        data: The study, as in a YAML file.
        place: Returns the location of a path in ``data``, for error messages.
        vocabulary: The known names; without it, only the form is checked.

    Raises:
        ManyUserError: The study is not valid; each error has its location.
    """
    try:
        section = _StudySection.model_validate(data, context={"vocabulary": vocabulary or PermissiveVocabulary()})
    except ValidationError as error:
        messages = [_message(each, place(each["loc"])) for each in error.errors()]
        raise ManyUserError(list(dict.fromkeys(messages))) from None
    recipes = [Recipe(), *(recipe for entry in section.recipes for recipe in entry)]
    if misplaced := [f"{place(('candidates', index))}: {problem}" for index, problem in _misplaced(section)]:
        raise ManyUserError(misplaced)
    calibration = CalibrationSettings(**section.calibration.model_dump())
    evaluation = Evaluation(**section.evaluation.model_dump(), calibration=calibration)
    if problems := [
        f"{place(('evaluation', key))}: {problem}"
        for key, problem in (*_unused_prompting(section, evaluation), *_unclear_stop(evaluation))
    ]:
        raise ManyUserError(problems)
    return Study(
        models=tuple(dict.fromkeys(section.models)),
        recipes=tuple(dict.fromkeys(recipes)),
        tasks=tuple(dict.fromkeys(section.tasks)),
        evaluation=evaluation,
        output=section.output,
        task_folders=tuple(section.task_folders),
        candidates=tuple(
            dict.fromkeys(
                (each.of or section.models[0], recipe) for each in section.candidates for recipe in each.recipes
            )
        ),
    )


def _unused_prompting(section: _StudySection, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield key and problem of each setting of prompts that applies to no task, or to the prompts of several models."""
    for key in evaluation.prompting:
        if all(map(is_declared, section.tasks)):
            tasks = ", ".join(dict.fromkeys(section.tasks))
            yield key, f"{key} applies only to tasks of lm-evaluation-harness, not to this study's ({tasks}); omit it"
        elif key == "chat_template" and len(set(section.models)) > 1:
            yield key, "chat_template gives each model different prompts; write a separate study for each model"


def _unclear_stop(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield key and problem if there are two rules for when to stop."""
    if evaluation.margin is not None and evaluation.precision is not None:
        yield "margin", "a cell stops either at a margin or at a precision; give one of them"


def _misplaced(section: _StudySection) -> Iterator[tuple[int, str]]:
    """Yield index and problem of each entry of candidates whose baseline is unclear, or not a model of the study."""
    if not section.recipes and not section.candidates:
        yield 0, "a study needs recipes, candidates or both"
    models = dict.fromkeys(section.models)
    for index, each in enumerate(section.candidates):
        if each.of is None and len(models) > 1:
            yield index, f"the study has {len(models)} models; write {{of: BASELINE, is: [{each.references[0]}]}}"
        elif each.of is not None and each.of not in models:
            yield index, f"of '{each.of}': the baseline must be one of the models ({', '.join(map(str, models))})"


def _message(error: Any, place: str) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    *above, key = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"{place}: {unknown('key', str(key), _SECTIONS['.'.join(map(str, above))].model_fields)}"
    if error["type"] == "value_error":
        return f"{place}: {error['ctx']['error']}"
    # The name of an option says where it is; a line of a file does not.
    name = f"{place}: {'.'.join(map(str, error['loc']))}" if _LINE.search(place) else place
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] == "too_short":
        return f"{name} must name at least one"
    says = _TYPES.get(error["type"])
    if says is None:
        return f"{name}: {error['msg']}"
    return f"{name} {says.format(**error.get('ctx', {}))}, not '{error['input']}'"


def _key(loc: tuple[str | int, ...]) -> str:
    """Return the dotted key of a place in a study."""
    return ".".join(map(str, loc[:2] if loc[0] in _SECTIONS else loc[:1]))


def _merge(data: dict[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    merged = dict(data)
    replaced = [rule for option, rule in _OTHER_RULE.items() if option in overrides]
    if replaced and isinstance(inner := merged.get("evaluation"), dict):
        merged["evaluation"] = {key: value for key, value in inner.items() if key not in replaced}
    for dotted, value in overrides.items():
        section, dot, key = dotted.partition(".")
        if dot:
            inner = merged.get(section) or {}
            if isinstance(inner, dict):
                merged[section] = {**inner, key: value}
        else:
            merged[dotted] = value
    return merged, set(overrides)


def task_of(entry: Any) -> str:  # noqa: ANN401 - any YAML value
    """Return the canonical task name for an entry, which is text or a mapping with options.

    Raises:
        UserError: The entry or its options are not valid.
    """
    if isinstance(entry, str):
        return canonical_name(entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("task"), str):
        raise UserError(f"'{entry}' is not a valid task; write a name, or {{task: lama/trex, source: evidence}}")
    options = {str(key): _text(key, value) for key, value in entry.items() if key != "task"}
    if not options:
        return canonical_name(entry["task"])
    declared = find_task(entry["task"])
    if declared is None or declared.name != entry["task"] or not declared.options:
        known = ", ".join(each.name for each in declarations() if each.options)
        raise UserError(
            f"'{entry['task']}' is not one of the tasks with options ({known}); remove the options, or correct the name"
        )
    return str(declared.named(options))


def _text(key: Any, value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and value:
        return "+".join(_text(key, inner) for inner in value)
    if isinstance(value, (str, int)):
        return str(value)
    raise UserError(f"option {key}={value} of a task must be a single value, or a list of names")
