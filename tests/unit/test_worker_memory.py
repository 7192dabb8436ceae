"""What a worker does with the garbage collector when the law changes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from borderpost import worker


class Law:
    """Something that is in a circle with itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    gc.disable()  # so that nothing is freed but by what is asked here
    yield
    gc.unfreeze()
    gc.enable()


def test_law_in_use_is_not_looked_through_again() -> None:
    law = Law()
    worker._settle()
    assert gc.get_freeze_count() > 1000
    assert not any(tracked is law for tracked in gc.get_objects())


def test_law_that_was_replaced_is_freed_at_the_next_change() -> None:
    law = Law()
    gone = weakref.ref(law)
    worker._settle()
    del law
    gc.collect()
    assert gone() is not None, "it is out of the collector's sight"
    worker._settle()
    assert gone() is None
