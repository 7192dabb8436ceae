"""What sets several things up, one after another, and takes them down in reverse, also if setting up fails midway."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self


class SetUp:
    """A context whose `_set_up` pushes onto `_undo` how to take down what it has set up so far."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _set_up(self) -> None:
        raise NotImplementedError
