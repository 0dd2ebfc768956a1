"""What a task comes to, without a path: everything of it that decides numbers, kept and hashed with the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from gifd_ops.config import GeneratorShape
from gifd_ops.tasks import VICTIM_LAYERS, Task

Pictures = tuple[tuple[str, tuple[tuple[str, int], ...]], ...]  # by domain: (sha256, label) in the order of use


@dataclass(frozen=True, kw_only=True)
class TaskContent:
    """A task by its content. Two folders with the same files make the same task; changed files make another one."""

    name: str
    size_px: int
    num_classes: int
    architecture: str
    approximation: str
    sizes: str  # of the generator, as JSON
    checkpoint_sha256: str
    feature_scalars: tuple[int, ...]
    latent_scalars: int
    victim: str
    victim_layers: int  # with parameters
    victim_sha256: str | None  # of the file that builds it, if it is none of ours
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    in_distribution: tuple[str, ...]
    recipe: str
    pictures: Pictures

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskContent:
        """The content that `dataclasses.asdict` took apart, through JSON."""
        told = {field.name: values[field.name] for field in fields(cls)}
        for name in ("feature_scalars", "pixel_mean", "pixel_std", "in_distribution"):
            told[name] = tuple(told[name])
        told["pictures"] = tuple(
            (domain, tuple((digest, int(label)) for digest, label in entries)) for domain, entries in told["pictures"]
        )
        return cls(**told)

    def of_domain(self, domain: str) -> tuple[tuple[str, int], ...]:
        """The pictures of a domain: (sha256, label)."""
        return dict(self.pictures)[domain]

    def split(self, domain: str, split: str, *, tune: int, test: int) -> tuple[tuple[str, int], ...]:
        """The pictures of a split of a domain: tune, test and select follow one another, a gallery has the rest."""
        bounds = {
            "tune": (0, tune),
            "test": (tune, tune + test),
            "select": (tune + test, 2 * tune + test),
            "gallery": (2 * tune + test, None),
        }
        return self.of_domain(domain)[slice(*bounds[split])]


@lru_cache(maxsize=8)
def task_of(content: TaskContent) -> Task:
    """The task that a content makes."""
    domains = tuple(domain for domain, _ in content.pictures)
    return Task(
        name=content.name,
        checkpoint=Path(content.architecture),  # where the file lies is no part of a study
        generator_shape=GeneratorShape(feature_scalars=content.feature_scalars, latent_scalars=content.latent_scalars),
        size_px=content.size_px,
        num_classes=content.num_classes,
        domains=domains,
        default_domains=domains,
        in_distribution=frozenset(content.in_distribution),
        victims=(*VICTIM_LAYERS, content.victim),
        pixel_mean=content.pixel_mean,
        pixel_std=content.pixel_std,
        recipe=content.recipe,
    )
