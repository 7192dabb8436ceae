"""What sets several things up, one after another, and takes them down in reverse, also if setting up fails midway."""

from __future__ import annotations

import abc
from contextlib import ExitStack
from typing import Self


class SetUp(abc.ABC):
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

    @abc.abstractmethod
    def _set_up(self) -> None:
        """Set things up, one after another."""
