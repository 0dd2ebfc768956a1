"""What a person says of a task: which files it is made of, and how they are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Where the pictures of a domain lie, and in which layout (`gifd_ops/sources/layouts.py`)."""

    path: Path
    layout: str


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A task as it was described; nothing of it has been opened yet."""

    name: str
    size_px: int
    num_classes: int
    architecture: str
    approximation: str  # none, or lower_layers: a StyleGAN2 without the blocks above size_px
    checkpoint: Path
    sha256: str | None  # that the checkpoint must have
    sizes: Path | None  # config.json of a BigGAN-deep that is none of the published ones
    clamp: float | None
    victim: str  # a registered one, or module:function
    code: Path | None  # where modules are looked for
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    domains: Mapping[str, Folder]
    in_distribution: tuple[str, ...]
    recipe: str
    defaults: Mapping[str, Any]  # of options of the command line
