"""What a person is told when something cannot be done: one line that names it, one that says what to do."""

from __future__ import annotations


class Refusal(Exception):
    """An operating error that the person at the terminal can mend.

    message: what happened to what, on one line, without a full stop. hint: what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def text(self) -> str:
        """The lines for standard error: `error: ...` and, where there is one, `hint: ...`."""
        return f"error: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")
