"""Spaces by name: what a space reaches, walked the way of a method."""

from __future__ import annotations

from functools import partial

from search_spaces import in_distribution, ood
from search_spaces.base import Method, Space
from search_spaces.methods import ggl, gi, gias, gifd, ig, latent
from search_spaces.reach import Reach
from search_spaces.recipes import RECIPES

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD for module in (gifd, latent, gias, ggl, ig, gi)
}  # the first is what this project is about; the others are what it is compared with
SPACES: dict[str, Reach] = {module.REACH.name: module.REACH for module in (in_distribution, ood)}


def get_space(name: str, method: str = "gifd", *, recipe: str = "scaled") -> Space:
    """The space of that name for a method; KeyError for any other. recipe: what is published of GIFD, if that is it."""
    reach, walked = SPACES[name], METHODS[method]
    return Space(
        name=name,
        method=method,
        summary=reach.summary,
        suggest=partial(walked.suggest, ranges=reach.ranges),
        published=RECIPES[recipe] if method == "gifd" else walked.published,
        domains=reach.domains,
        begin=walked.begin,
        schedule=walked.schedule,
    )
