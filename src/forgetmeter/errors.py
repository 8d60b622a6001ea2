"""Errors the user can fix, as opposed to bugs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_OUT_OF_MEMORY = ("out of memory", "allocate memory", "unable to allocate")


class UserError(Exception):
    """A wrong request: one line that says what is wrong, what is allowed and what to do; no traceback, exit code 2."""


class ShownWarning(UserWarning):
    """What a user should know although nothing is wrong; the command line shows it, and libraries' warnings not."""


class ManyUserError(UserError):
    """Several problems in one request, one line each."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


class MissingModelError(UserError):
    """A model is not on this machine and cannot be fetched; one that is here but damaged is a plain ``UserError``."""


class Terminated(SystemExit):
    """Raised in a process that is asked to end; any other ``SystemExit`` comes from a plug-in or a library."""


def refuse(problems: Iterable[str]) -> None:
    """Raise all problems together; do nothing if there are none.

    Raises:
        UserError: There is a problem; ``ManyUserError`` if there are several.
    """
    found = list(problems)
    if len(found) == 1:
        raise UserError(found[0])
    if found:
        raise ManyUserError(found)


@contextmanager
def refusing_unreadable(what: str) -> Iterator[None]:
    """Refuse a text file that cannot be read or is not UTF-8; ``what`` names it."""
    try:
        yield
    except UnicodeDecodeError:
        raise UserError(f"{what} is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        why = error.strerror or one_line(error)
        raise UserError(f"{what} cannot be read ({why}); check the file and its permissions") from None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a device, or this machine, has no more memory, which libraries report in several ways."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def one_line(error: BaseException, *, most: int = 200) -> str:
    """Return a library's error message on one line of at most ``most`` characters, or its type if it is empty."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 1]}…"
