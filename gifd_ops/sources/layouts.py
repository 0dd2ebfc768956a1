"""Layouts of folders by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gifd_ops.sources import ffhq, folders, imagenet
from gifd_ops.sources.source import Source


def _cifar10(folder: Path, *, num_classes: int) -> Source:
    from gifd_ops.sources.torchvision_sets import cifar10  # imports torch, which a driver does without

    return cifar10(folder, num_classes=num_classes)


def _celeba(folder: Path, *, num_classes: int) -> Source:
    from gifd_ops.sources.torchvision_sets import celeba

    return celeba(folder, num_classes=num_classes)


LAYOUTS: dict[str, Callable[..., Source]] = {
    "class_folders": folders.class_folders,
    "flat": folders.flat,
    "ffhq": ffhq.ffhq,
    "imagenet": imagenet.imagenet,
    "cifar10": _cifar10,
    "celeba": _celeba,
}


def open_source(folder: Path, layout: str, *, num_classes: int) -> Source:
    """The pictures of a folder. Raises ValueError for what the layout does not allow."""
    if layout not in LAYOUTS:
        raise ValueError(f"a layout is one of {', '.join(LAYOUTS)}, got {layout!r}")
    return LAYOUTS[layout](folder, num_classes=num_classes)
