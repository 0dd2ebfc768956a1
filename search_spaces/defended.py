"""The space against a defense: `ood`, and how far the search goes along with the attacker's answer."""

from __future__ import annotations

from dataclasses import replace

from gifd_ops.config import AttackConfig
from gifd_ops.defenses.config import Answer, Clipping
from search_spaces import ood
from search_spaces.base import Ask
from search_spaces.reach import Faced


def choose_answer(ask: Ask, config: AttackConfig, faced: Faced) -> AttackConfig:
    """The config with an `answer_strength` of its own, where it makes a difference to what is searched."""
    answer = config.answer
    if answer is None or answer.how == "repeats" or _is_void(answer, config):
        return config
    return replace(config, answer=replace(answer, strength=ask.real("answer_strength", 0.0, 1.0)))


def _is_void(answer: Answer, config: AttackConfig) -> bool:
    """Whether the distance does not see what the answer does: a cosine sees no length."""
    return isinstance(answer.defense, Clipping) and config.distance == "cosine"


REACH = replace(
    ood.REACH,
    name="defended",
    summary="as ood, and how far the search goes along with the answer to a defense",
    more=choose_answer,
    begin={"answer_strength": 1.0},
    schedule=("answer_strength",),
)
