"""Spaces by name: what a space reaches, walked the way of a method."""

from __future__ import annotations

from dataclasses import replace

from gifd_ops.config import AttackConfig, GeneratorShape
from search_spaces import batched, defended, in_distribution, ood
from search_spaces.base import Ask, Method, Space
from search_spaces.methods import ggl, gi, gias, gifd, ig, latent
from search_spaces.reach import Faced, Reach
from search_spaces.recipes import RECIPES

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD for module in (gifd, latent, gias, ggl, ig, gi)
}  # the first is what this project is about; the others are what it is compared with
SPACES: dict[str, Reach] = {module.REACH.name: module.REACH for module in (in_distribution, ood, defended, batched)}

NOTHING = Faced()


def get_space(name: str, method: str = "gifd", *, recipe: str = "scaled", faced: Faced = NOTHING) -> Space:
    """The space of that name for a method; KeyError for any other. recipe: what is published of GIFD, if that is it.

    What it suggests answers what the attacker is faced with, in full where the space leaves no choice; what is
    published answers nothing.
    """
    reach, walked = SPACES[name], METHODS[method]

    def suggest(ask: Ask, shape: GeneratorShape, *, budget: int) -> AttackConfig:
        config = walked.suggest(ask, shape, budget=budget, ranges=reach.ranges)
        return reach.more(ask, replace(config, answer=faced.answer), faced)

    return Space(
        name=name,
        method=method,
        summary=reach.summary,
        suggest=suggest,
        published=RECIPES[recipe] if method == "gifd" else walked.published,
        domains=reach.domains,
        begin={**walked.begin, **reach.begin},
        schedule=(*walked.schedule, *reach.schedule) if walked.schedule else (),
    )
