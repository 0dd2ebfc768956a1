"""Two searches in one ledger: which trials are whose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """The trials of the study that a search's own trials (its places: 0, 1, 2, ...) are.

    The first `shared` trials are in every search: how a search begins is decided before anything is known. Later ones
    belong to one search after another, in turn: a number names one config, whichever search asked for it.
    """

    shared: int = 0
    side: int = 0
    sides: int = 1

    def trial(self, place: int) -> int:
        """The number of a trial in the study."""
        beyond = place - self.shared
        return place if beyond < 0 else self.shared + self.sides * beyond + self.side

    def place(self, trial: int) -> int | None:
        """The number of a trial in the search; None if it belongs to another."""
        beyond = trial - self.shared
        if beyond < 0:
            return trial
        return self.shared + beyond // self.sides if beyond % self.sides == self.side else None
