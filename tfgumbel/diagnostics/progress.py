"""How far the measuring is, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


class Progress:
    """A bar for every round of draws: what is done, and the time left.

    Args:
        visible: Whether to print.
    """

    def __init__(self, visible: bool) -> None:
        self._visible = visible
        self._bar: Any = None
        self._done = self._end = self._each = 0

    def begin(self, names: Sequence[str], works: int, each: int) -> None:
        """A round of `works` pieces of work, of `each` draws or steps."""
        if self._visible:
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            print(f"Measuring {shown}", flush=True)
        self._bar = keras.utils.Progbar(
            works * each, verbose=int(self._visible), unit_name="draw"
        )
        self._done, self._end, self._each = 0, 0, each

    def next(self) -> None:
        """The next piece of work begins; the last one counts as done."""
        self._done = self._end
        if self._done:
            self._bar.update(self._done)
        self._end = self._done + self._each

    def advance(self, count: int) -> None:
        """Counts what is done, never past the end of this piece of work."""
        self._done = min(self._done + count, self._end - 1)
        self._bar.update(self._done)

    def end(self) -> None:
        """The last piece of work is done."""
        self._bar.update(self._end)
