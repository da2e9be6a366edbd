"""Errors of the agent that a user meets when it starts."""

from __future__ import annotations


class AgentError(Exception):
    """The agent cannot start or go on: one line, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message)
        self.message = message
        self.hint = hint
