"""Names that a person typed, checked against the names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def check_name(kind: str, name: str, known: Iterable[Name]) -> Name:
    """The known name that was typed; ValueError with the known ones and the nearest if there is none."""
    names = list(known)
    for one in names:
        if one == name:
            return one
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"no {kind} {name!r}; choose from {', '.join(names)}{hint}")
