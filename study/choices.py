"""Names that a person typed, checked against the names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """`name` if it is known; else ValueError with the known ones and the nearest."""
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"no {kind} {name!r}; choose from {', '.join(names)}{hint}")
