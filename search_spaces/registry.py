"""Spaces by name."""

from __future__ import annotations

from search_spaces import in_distribution, ood
from search_spaces.base import Space

SPACES: dict[str, Space] = {module.SPACE.name: module.SPACE for module in (in_distribution, ood)}


def get_space(name: str) -> Space:
    """The space of that name; KeyError for any other."""
    return SPACES[name]
