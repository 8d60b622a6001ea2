"""Errors that a user can mend, as opposed to bugs."""

from __future__ import annotations


class UserError(Exception):
    """The request was wrong: shown as one line, without a traceback, with exit code 2.

    The message says what was wrong, what is allowed, and what to do.
    """


class ManyUserError(UserError):
    """Several wrong things in one request, reported together, a line each."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)
