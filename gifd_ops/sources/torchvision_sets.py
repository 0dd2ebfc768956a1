"""CIFAR-10 and CelebA as torchvision reads and checks them; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision import datasets

from gifd_ops.sources.source import Entry, Source, check_classes, of_files

CELEBA_ATTRIBUTE = "Smiling"  # the label: 1 where it holds


def cifar10(folder: Path, *, num_classes: int) -> Source:
    """The test images of CIFAR-10, in `cifar-10-batches-py` of the folder. Raises ValueError."""
    data = _open(lambda: datasets.CIFAR10(str(folder), train=False, download=False), folder, "cifar-10-batches-py")
    entries = [Entry(name=f"{place:05}", label=int(label)) for place, label in enumerate(data.targets)]
    check_classes(entries, folder, num_classes=num_classes)

    def image(entry: Entry) -> Image.Image:
        return Image.fromarray(data.data[int(entry.name)])

    return Source(
        entries=tuple(entries),
        read=lambda entry: image(entry).tobytes(),
        open=image,
        where=lambda entry: f"{folder}, CIFAR-10 test image {entry.name}",
        place=lambda entry: f"cifar10:{folder.resolve()}:{entry.name}",
    )


def celeba(folder: Path, *, num_classes: int) -> Source:
    """The test images of CelebA, in `celeba` of the folder; the class is whether the face smiles. Raises ValueError."""
    data = _open(
        lambda: datasets.CelebA(str(folder), split="test", target_type="attr", download=False), folder, "celeba"
    )
    column = data.attr_names.index(CELEBA_ATTRIBUTE)
    place = folder / "celeba" / "img_align_celeba"
    entries = [
        Entry(name=str(name), label=int(row[column])) for name, row in zip(data.filename, data.attr, strict=True)
    ]
    check_classes(entries, folder, num_classes=num_classes)
    return of_files(place, entries)


def _open(make: Callable[[], Any], folder: Path, below: str) -> Any:
    try:
        return make()
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{folder / below} does not hold what torchvision expects ({error}); unpack the published archive there "
            "(docs/assets.md): nothing is downloaded by a study"
        ) from None
