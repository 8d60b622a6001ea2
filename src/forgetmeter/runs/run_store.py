"""Store of a run: its study, items, variants and outcomes, each in a file written atomically."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, one_line
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Item, TaskDescription
from forgetmeter.records.noise import Noise
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.records.variant import Reached
from forgetmeter.runs import layout
from forgetmeter.runs.agreement import Names, is_at, is_consistent, is_named, names_of
from forgetmeter.runs.filesystem import RunFolder, UnreadableError
from forgetmeter.runs.identity import (
    NOISE_FLOOR,
    additions,
    differences,
    extended,
    has_calibration,
    has_digest,
    has_digests,
    is_calibrated_alike,
    other_questions,
)
from forgetmeter.runs.intact import CELL, IntactFiles, first_digested
from forgetmeter.runs.leaving_out import obsolete_files, without_failed
from forgetmeter.runs.noise_file import StoredNoise, noise_json, read_noise
from forgetmeter.runs.record_json import EditedError, read_record, record_json
from forgetmeter.runs.stored import Failure, StoredCell, StoredItems, StoredVariant, reached_document, read_reached
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.runs.tables.items_table import items_hash, items_parquet
from forgetmeter.runs.tables.outcomes_table import correct_by_item, outcomes_parquet
from forgetmeter.specs.recipe import BASELINE, canonical

SCHEMA_VERSION = 3
"""Version 2: files of outcomes have their variant, model, recipe and task as columns. Version 3: candidates, and every
file has a digest of its content.
"""

_VARIANT = ("id", "model", "recipe")
_FAILURE = ("variant", "model", "recipe", "task", "error")
_DEFINITION = {
    "version": "version",
    "primary_metric": "main metric",
    "judging": "hash of its metrics, filters and groups",
}
"""Facts of a task that decide how answers are judged, and what messages call them."""
_START_ANEW = "choose another --out, or delete that run"
_RECREATE = "delete it and run the study again, which recreates it"
_RESTORE = f"restore it, or, unless methods were calibrated on a text, {_RECREATE}"
"""For ``study.json``, which alone says on which text."""


class UnwritableError(UserError):
    """A file of a run cannot be written, as on a full disk; what was stored before is intact."""


class RunStore:
    """Reads and writes one run; several workers may write the same run concurrently.

    Attributes:
        location: A folder or an fsspec URL.
        folder: Its files.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        try:
            self.folder = RunFolder(location)
        except Exception as error:
            # Each of fsspec's file systems raises its own.
            raise UserError(f"the location '{location}' cannot be used: {one_line(error)}") from error
        self._intact = IntactFiles(self.folder, self._study)
        self._known: dict[str, Any] | None = None
        self._is_earlier = False

    def __reduce__(self) -> tuple[type[RunStore], tuple[str]]:
        """Another process reads the run anew."""
        return RunStore, (self.location,)

    def has_study(self) -> bool:
        """Return whether a run has been started at the location."""
        return self.folder.exists(layout.STUDY)

    def has_recipes(self) -> bool:
        """Return whether a run with more than a baseline has been started at the location."""
        return self.has_study() and self.read_study().recipes != (BASELINE,)

    def has_files(self) -> bool:
        """Return whether there is any file at the location."""
        return self.has_study() or bool(self.folder.list())

    def check_study(self, document: Mapping[str, Any]) -> None:
        """Check whether ``open_study`` would accept the study, without writing anything.

        Raises:
            UserError: As for ``open_study``.
        """
        layout.check_names(document["identity"].get("tasks", ()))
        try:
            if self.folder.is_file():
                raise UserError(f"'{self.location}' is a file, not a folder; choose another --out")
            if self.has_study():
                self._check_same(self._read_document(), document)
                return
            files = self.folder.list()
            self.folder.check_writable()
        except UnreadableError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"'{self.location}' cannot be used ({error}); choose another --out") from error
        # Another worker may have started the run since the check above.
        if not files or layout.STUDY in files:
            return
        if not _is_run_of(document, files):
            if any(map(layout.variant_of, files)):
                raise UserError(
                    f"'{self.location}' holds answers of a run whose {layout.STUDY} is missing, and this study lacks "
                    f"some of that run's variants; to recreate {layout.STUDY}, name all models, recipes and tasks of "
                    "that run, or choose another --out"
                )
            raise UserError(
                f"'{self.location}' is not empty and not a run (it contains '{files[0]}', but no "
                f"{layout.STUDY}); choose another --out"
            )
        if has_calibration(document):
            raise UserError(
                f"'{self.location}' holds answers of a run whose {layout.STUDY} is missing; only that file records "
                "with which text methods were calibrated; restore it, or choose another --out"
            )

    def open_study(self, document: Mapping[str, Any]) -> None:
        """Start a run, or continue the existing one if the study is the same or adds recipes, candidates or tasks.

        A study may drop recipes and tasks whose cells all failed; their stored errors are removed.

        Args:
            document: The study. ``identity`` (models, recipes, candidates, tasks, evaluation) identifies the study;
                ``variants``, if given, lists the ``id``, ``model`` and ``recipe`` of each.

        Raises:
            UserError: The location holds another study, a newer schema version, something unreadable, or not a run; or
                it cannot be written to, or tasks cannot be stored under their names.
        """
        self.check_study(document)
        new = {"schema_version": SCHEMA_VERSION, **document}
        if not self._create(layout.STUDY, record_json(new)):
            stored = self._read_document()
            self._check_same(stored, document)
            is_older = stored["schema_version"] < SCHEMA_VERSION
            has_noise = NOISE_FLOOR in document and NOISE_FLOOR not in stored
            if is_older or has_noise or any(_changes(stored, document)):
                # Removed first: once the study no longer lists their cells, these errors could never be removed.
                for path in obsolete_files(stored, document, self.folder.list()):
                    self.folder.remove(path)
                self._write(layout.STUDY, record_json(extended(stored, new)))
        self._known = None
        # Another worker may have started or extended the run at the same time.
        self._check_same(self._read_document(), document)

    def changes(self, document: Mapping[str, Any]) -> list[str]:
        """Return one sentence with what ``open_study`` would add, and one with what it would leave out."""
        if not self.has_study():
            return []
        added, left_out = _changes(self._read_document(), document)
        sentences = []
        if added:
            sentences.append(f"adding to the run at {self.location}: {', '.join(added)}")
        if left_out:
            left = ", ".join(left_out)
            sentences.append(f"removing from the run at {self.location}, where all of their cells failed: {left}")
        return sentences

    def other_versions(self, document: Mapping[str, Any]) -> list[str]:
        """Return a sentence with the packages whose versions differ from those that started the run, if any do."""
        old, new = self.read_study().versions if self.has_study() else {}, document["versions"]
        changed = [f"{name} {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]
        return [f"other versions than when the run at {self.location} started: {', '.join(changed)}"] if changed else []

    def read_study(self) -> StudyRecord:
        """Return the study.

        Raises:
            UserError: The run does not exist, or this version cannot read it.
        """
        return StudyRecord(self._read_document())

    def unlisted(self, study: Mapping[str, Any]) -> int:
        """Return how many variants of a study the run does not list."""
        return len(names_of(study).keys() - names_of(self._read_document()).keys())

    def _read_document(self) -> dict[str, Any]:
        if not self.folder.exists(layout.STUDY):
            raise UserError(
                f"'{self.location}' is not a run ({layout.STUDY} is missing); give the output folder of a run, "
                "or create one with `forgetmeter run --out`"
            )
        study = self._read_json(layout.STUDY)
        version = study.get("schema_version")
        if not isinstance(version, int) or not _is_study(study):
            raise UserError(
                f"'{self.location}/{layout.STUDY}' is not a forgetmeter study; if it was one, {_RESTORE}; else choose "
                "another --out"
            )
        if version > SCHEMA_VERSION:
            raise UserError(
                f"the run at '{self.location}' was written by a newer forgetmeter (schema {version}; this version "
                f"reads up to {SCHEMA_VERSION}); upgrade forgetmeter, or choose another --out"
            )
        if not is_consistent(study):
            raise UserError(
                f"'{self.location}/{layout.STUDY}' was edited: its variants do not follow from its models, recipes and "
                f"evaluation; {_RESTORE}"
            )
        if not has_digest(study):
            self._refuse_lowered_version()
        return _with_canonical_recipes(study)

    def _refuse_lowered_version(self) -> None:
        """Check that no file has a digest, as in a run that only versions without digests wrote.

        Raises:
            UserError: A file has one, which is written only after ``study.json`` has one.
        """
        digested = None if self._is_earlier else first_digested(self.folder, self._parts())
        # Another worker may have extended the run in the meantime.
        if digested is not None and not has_digest(self._read_json(layout.STUDY)):
            raise self._damaged(
                layout.STUDY,
                f"its schema_version is earlier than that of {digested}, so it may have been edited",
            )
        self._is_earlier = True

    def _parts(self) -> list[str]:
        return [path for under in (layout.ITEMS, layout.VARIANTS) for path in self.folder.list(under)]

    def write_items(self, description: TaskDescription, items: Sequence[Item]) -> None:
        """Store a task's items, or check that the same items are already stored.

        Raises:
            UserError: Different items are stored: the task's data changed since the run started.
        """
        path = layout.items_path(description.name)
        content = items_parquet(description, items)
        if self._create(path, content):
            return
        if self.read_items_hash(description.name) is None:
            self._write(path, content)
        self.check_items(description, items)

    def check_items(self, description: TaskDescription, items: Sequence[Item]) -> None:
        """Check that a task's stored items, if any, are these, and that their answers are judged in the same way.

        Raises:
            UserError: They are not: the task's data or definition changed since the run started.
        """
        task, facts = description.name, self._intact.items_facts(layout.items_path(description.name))
        if facts is None:
            return
        stored, new = str(facts["items_hash"]), items_hash(items)
        if stored != new:
            raise UserError(
                f"the data of task '{task}' changed since the run at '{self.location}' started "
                f"(hash of the stored items: {stored[:12]}; now: {new[:12]}); {_START_ANEW}"
            )
        for key, what in _DEFINITION.items():
            before, now = facts.get(key), getattr(description, key)
            # Earlier versions did not store all of them.
            if before is not None and before != now:
                raise UserError(
                    f"the definition of task '{task}' changed since the run at '{self.location}' started "
                    f"({what}: {str(before)[:12] or 'none'}; now: {str(now)[:12] or 'none'}); {_START_ANEW}"
                )

    def read_items_hash(self, task: str) -> str | None:
        """Return the hash of the items stored for a task; ``None`` if they are missing or damaged."""
        facts = self._intact.items_facts(layout.items_path(task))
        return None if facts is None else str(facts["items_hash"])

    def write_outcomes(self, cell: Cell, outcomes: Sequence[Outcome], facts: Mapping[str, Any]) -> None:
        """Store a cell's outcomes, which makes it done, and remove an error stored for it.

        Args:
            outcomes: One outcome per item.
            facts: ``seconds``, ``tokens``, ``items_hash``, aggregated ``metrics`` by name, and so on.
        """
        path = layout.outcomes_path(cell.variant.id, cell.task)
        self._write(path, outcomes_parquet(cell, outcomes, facts))
        self.folder.remove(layout.failure_path(cell.variant.id, cell.task))

    def replaced_by(self, task: str, facts: Mapping[str, Any]) -> str | None:
        """Return what is stored by now that answers with these facts do not belong to; ``None`` if they do."""
        items = self._intact.items_facts(layout.items_path(task))
        if items is not None and (other := other_questions(facts, items)):
            return f"{other} of task '{task}'"
        is_calibrated = facts.get("calibration") is not None
        if is_calibrated and self.has_study() and not is_calibrated_alike(self._read_document(), facts):
            return "another calibration text"
        return None

    def is_done(self, cell: Cell, *, stop: StopRule | None = None) -> bool:
        """Return whether a cell's outcomes are stored and intact, and are of all items, or of enough by a rule.

        Args:
            stop: What has to be known, if the outcomes need not be of all items.
        """
        facts = self._outcomes_facts(cell)
        if facts is None:
            return False
        reached = facts.get("precision")
        return reached is None or (
            stop is not None and stop.covers(reached, facts.get("margin"), int(facts.get("checks") or 0))
        )

    def has_outcomes(self, cell: Cell) -> bool:
        """Return whether a cell's outcomes are stored and intact, of all items or not."""
        return self._outcomes_facts(cell) is not None

    def _outcomes_facts(self, cell: Cell) -> dict[str, Any] | None:
        path = layout.outcomes_path(cell.variant.id, cell.task)
        return self._intact.outcomes_facts(path, _names(cell.variant))

    def read_correct(self, model: str, task: str) -> dict[str, bool]:
        """Return whether a model's baseline is right, by item id; empty if its outcomes are missing or not judged."""
        for variant, (of, recipe) in self._names().items():
            path = layout.outcomes_path(variant, task)
            if (of, recipe) == (model, BASELINE) and self._intact.outcomes_facts(path, self._names()) is not None:
                return correct_by_item(self.folder.read(path))
        return {}

    def has_records(self, cell: Cell) -> bool:
        """Return whether the variant and the items that a cell's outcomes belong to are stored and intact."""
        try:
            self._variant(layout.variant_path(cell.variant.id), _names(cell.variant))
        except (UserError, FileNotFoundError):
            return False
        return self.read_items_hash(cell.task) is not None

    def write_variant(self, variant: Variant, reached: Reached | None, facts: Mapping[str, Any]) -> None:
        """Store what a recipe did to its model, with timings and other ``facts``."""
        document = {
            "id": variant.id,
            "model": str(variant.model),
            "recipe": str(variant.recipe),
            "reached": None if reached is None else reached_document(reached),
            "facts": facts,
        }
        self._write(layout.variant_path(variant.id), record_json(document))

    def write_failure(self, cell: Cell, error: str, traceback: str) -> None:
        """Store why a cell failed; the next run tries it again."""
        document = {
            "variant": cell.variant.id,
            "model": str(cell.variant.model),
            "recipe": str(cell.variant.recipe),
            "task": cell.task,
            "error": error,
            "traceback": traceback,
        }
        self._write(layout.failure_path(cell.variant.id, cell.task), record_json(document))

    def write_noise(self, cell: Cell, noise: Noise) -> None:
        """Store the difference between two scorings of a baseline's cell."""
        self._write(layout.noise_path(cell.variant.id, cell.task), noise_json(cell, noise))

    def needs_noise(self, cell: Cell, *, is_wanted: bool) -> bool:
        """Return whether noise is wanted, the cell is a baseline's, and its noise is not stored yet."""
        if not is_wanted or not cell.variant.recipe.is_baseline:
            return False
        path = layout.noise_path(cell.variant.id, cell.task)
        return not self.folder.exists(path) or self._noise(path, _names(cell.variant)) is None

    def noises(self) -> list[StoredNoise]:
        """Return the stored noise of baseline cells, ordered by path; damaged files are left out."""
        names = self._names()
        paths = [path for path in self.folder.list(layout.VARIANTS) if layout.is_noise(path)]
        return [noise for path in paths if (noise := self._noise(path, names)) is not None]

    def _noise(self, path: str, names: Names) -> StoredNoise | None:
        noise = read_noise(self.folder.read(path), has_digest=self._has_digests())
        is_its = (
            noise is not None
            and is_at(path, layout.noise_path, noise.variant, noise.task)
            and is_named(names, noise.variant, noise.model, BASELINE)
        )
        return noise if is_its else None

    def failures(self) -> list[Failure]:
        """Return the cells that failed and are not done, ordered by path; those that stopped early are not."""
        found, names = [], self._names()
        for path in self.folder.list(layout.VARIANTS):
            cell = layout.failed_cell(path)
            outcomes = self._intact.outcomes_facts(layout.outcomes_path(*cell), names) if cell else None
            if cell and (outcomes is None or outcomes.get("precision") is not None):
                stored = self._read_json(path, keys=_FAILURE)
                stored["recipe"] = canonical(stored["recipe"])
                failure = Failure(*(str(stored[key]) for key in _FAILURE))
                if not is_at(path, layout.failure_path, failure.variant, failure.task):
                    raise self._damaged(path)
                self._check_named(path, names, failure.variant, failure.model, failure.recipe)
                found.append(failure)
        return found

    def variants(self) -> list[StoredVariant]:
        """Return the stored variants, ordered by id."""
        names = self._names()
        paths = [path for path in self.folder.list(layout.VARIANTS) if layout.is_variant(path)]
        return [self._variant(path, names) for path in paths]

    def _variant(self, path: str, names: Names) -> StoredVariant:
        document = self._read_json(path, keys=_VARIANT)
        reached, facts = document.get("reached"), document.get("facts") or {}
        read = read_reached(reached)
        if (reached is not None and read is None) or not isinstance(facts, dict):
            raise self._damaged(path)
        variant, model, recipe = document["id"], document["model"], canonical(document["recipe"])
        if not is_at(path, layout.variant_path, variant):
            raise self._damaged(path)
        self._check_named(path, names, variant, model, recipe)
        return StoredVariant(variant, model, recipe, read, facts)

    def cells(self) -> list[StoredCell]:
        """Return the cells that are done, ordered by path; damaged files are left out."""
        found, names = [], self._names()
        for path in self.folder.list(layout.VARIANTS):
            if layout.outcomes_cell(path) and (facts := self._intact.outcomes_facts(path, names)) is not None:
                variant, model, recipe, task = (str(facts[key]) for key in CELL)
                found.append(StoredCell(variant, model, recipe, task, path, facts))
        return found

    def unread(self, read: Iterable[StoredCell | StoredNoise]) -> tuple[str, ...]:
        """Return the paths of outcomes and noise that are stored but not among those read, ordered."""
        paths = {each.path for each in read}
        stored = self.folder.list(layout.VARIANTS)
        return tuple(each for each in stored if _is_of_cell(each) and each not in paths)

    def items(self) -> list[StoredItems]:
        """Return the tasks whose items are stored, ordered by path; damaged files are left out."""
        found = []
        for path in self.folder.list(layout.ITEMS):
            if layout.items_task(path) and (facts := self._intact.items_facts(path)) is not None:
                found.append(StoredItems(str(facts["name"]), path=path, facts=facts))
        return found

    def _names(self) -> Names:
        return names_of(self._study())

    def _has_digests(self) -> bool:
        return has_digests(self._study())

    def _study(self) -> Mapping[str, Any]:
        # Read once: study.json is written before anything else, and another worker can only add variants to it.
        if self._known is None and self.has_study():
            self._known = self._read_document()
        return self._known or {}

    def _read_json(self, path: str, *, keys: Sequence[str] = ()) -> dict[str, Any]:
        def is_digested(document: Mapping[str, Any]) -> bool:
            return has_digest(document) if path == layout.STUDY else self._has_digests()

        try:
            document = read_record(self.folder.read(path), has_digest=is_digested)
        except EditedError as error:
            raise self._damaged(path, str(error)) from error
        except ValueError as error:
            raise self._damaged(path) from error
        if not all(isinstance(document.get(key), str) for key in keys):
            raise self._damaged(path)
        return document

    def _check_named(self, path: str, names: Names, variant_id: str, model: str, recipe: str) -> None:
        if not is_named(names, variant_id, model, recipe):
            raise self._damaged(path, f"it names '{model}' under '{recipe}', which {layout.STUDY} does not list")

    def _damaged(self, path: str, why: str = "truncated, or not written by forgetmeter") -> UserError:
        fix = _RESTORE if path == layout.STUDY else _RECREATE
        return UserError(f"'{self.location}/{path}' is damaged ({why}); {fix}")

    def _write(self, path: str, content: bytes) -> None:
        with self._named_if_unwritable(path):
            self.folder.write(path, content)

    def _create(self, path: str, content: bytes) -> bool:
        with self._named_if_unwritable(path):
            return self.folder.create(path, content)

    @contextmanager
    def _named_if_unwritable(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnwritableError(
                f"'{self.location}/{path}' cannot be written ({error.strerror or one_line(error)}); once it can, "
                "run the same command again to continue with what is stored"
            ) from error

    def _check_same(self, stored: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
        identity, asked = stored["identity"], requested["identity"]
        if additions(asked, identity):
            identity = without_failed(stored, asked, self.folder.list(layout.VARIANTS))
        different = differences(identity, asked)
        if different:
            raise UserError(
                f"'{self.location}' holds a run of another study ({'; '.join(different)}); a run can gain recipes, "
                "candidates and tasks if the command repeats all that it was started with (those that failed may be "
                "left out); of its settings, only device, batch_tokens, noise_floor, precision, margin and profile may "
                f"differ; {_START_ANEW}"
            )
        old, new = ({pair: variant for variant, pair in names_of(each).items()} for each in (stored, requested))
        unlike = [pair for pair in old if new.get(pair, old[pair]) != old[pair]]
        changed = [f"'{model}' under '{recipe}'" for model, recipe in unlike]
        more = f" and {counted(len(changed) - 1, 'more variant')}" if len(changed) > 1 else ""
        if changed:
            raise UserError(
                f"the content of {changed[0]}{more} changed since the run at '{self.location}' started (its id "
                f"differs); {_START_ANEW}"
            )


def _changes(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return phrases with what a study adds to a run, and with what it leaves out."""
    old, new = stored["identity"], asked["identity"]
    return additions(old, new), additions(new, old)


def _is_study(document: Mapping[str, Any]) -> bool:
    identity, variants = document.get("identity"), document.get("variants", [])
    return (
        isinstance(identity, dict)
        and all(_are_texts(identity.get(key, [])) for key in ("models", "recipes", "tasks"))
        and all(isinstance(part.get(key) or {}, dict) for part, key in _mappings(document, identity))
        and all(map(_are_texts, (identity.get("candidates") or {}).values()))
        and isinstance(variants, list)
        and all(isinstance(each, dict) and _are_texts([each.get(key) for key in _VARIANT]) for each in variants)
    )


def _with_canonical_recipes(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study with recipe texts in canonical form; earlier versions percent-encoded regular expressions."""
    identity, variants = study["identity"], study.get("variants")
    if "recipes" in identity:
        study["identity"] = {**identity, "recipes": list(map(canonical, identity["recipes"]))}
    if candidates := identity.get("candidates"):
        study["identity"]["candidates"] = {of: list(map(canonical, recipes)) for of, recipes in candidates.items()}
    if variants is not None:
        study["variants"] = [{**each, "recipe": canonical(each["recipe"])} for each in variants]
    return study


def _is_run_of(study: Mapping[str, Any], files: Iterable[str]) -> bool:
    """Return whether there are variant files and all belong to the study, as if ``study.json`` had been deleted."""
    found = {variant for path in files if (variant := layout.variant_of(path))}
    return bool(found) and found <= names_of(study).keys()


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _mappings(document: Mapping[str, Any], identity: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    yield from ((identity, key) for key in ("model_content", "candidates", "evaluation"))
    yield from ((document, key) for key in ("hardware", "versions", "methods", "sources", "imported"))


def _is_of_cell(path: str) -> bool:
    return layout.outcomes_cell(path) is not None or layout.is_noise(path)


def _names(variant: Variant) -> Names:
    return {variant.id: (str(variant.model), str(variant.recipe))}
