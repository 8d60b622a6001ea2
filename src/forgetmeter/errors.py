"""Errors the user can fix, as opposed to bugs."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """The request was wrong: shown as one line, without a traceback, with exit code 2.

    The message says what was wrong, what is allowed, and what to do.
    """


class ManyUserError(UserError):
    """Several wrong things in one request, reported together, a line each."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


def refuse(problems: Iterable[str]) -> None:
    """Raise what is wrong, all of it; nothing where nothing is.

    Raises:
        UserError: There is a problem; a ``ManyUserError`` where there are several.
    """
    found = list(problems)
    if len(found) == 1:
        raise UserError(found[0])
    if found:
        raise ManyUserError(found)


def one_line(error: BaseException, *, most: int = 200) -> str:
    """Return the text of a library's error on one line of at most ``most`` characters; its type where it has none."""
    return " ".join(str(error).split())[:most] or type(error).__name__
