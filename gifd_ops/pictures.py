"""A person's own pictures as private images: found, checked and named before anything starts. Needs no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture by its content: `sha256` of the file, and its class: the index of its sub-folder, if any."""

    sha256: str
    label: int | None


def scan_pictures(folder: Path, *, num_classes: int) -> dict[Path, Picture]:
    """Every picture below a folder, by path. Sub-folders are classes; hidden files are passed over.

    Raises ValueError naming the first file that is not a readable image, an empty folder, two copies of one picture,
    or more sub-folders than the victim has classes.
    """
    if not folder.is_dir():
        raise ValueError(f"--images needs a folder of pictures; {folder} is not a folder")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    if not files:
        raise ValueError(f"{folder} holds no pictures; put PNG or JPEG files there")
    if len(classes) > num_classes:
        raise ValueError(
            f"{folder} has {len(classes)} sub-folders, which are classes, and the victim has {num_classes} classes; "
            "leave some out"
        )
    pictures: dict[Path, Picture] = {}
    seen: dict[str, Path] = {}
    for path in files:
        _check_readable(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in seen:
            raise ValueError(f"{path} and {seen[digest]} are the same picture; remove one")
        seen[digest] = path
        parts = path.relative_to(folder).parts
        if classes and len(parts) == 1:
            raise ValueError(f"{path} lies beside sub-folders, which are classes; move it into one of them")
        pictures[path] = Picture(sha256=digest, label=classes.index(parts[0]) if classes else None)
    return pictures


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check_readable(path: Path) -> None:
    try:
        with Image.open(path) as image:
            image.load()
            deep = image.mode.startswith(("I", "F"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        kind = path.suffix.lstrip(".").upper() or "no suffix"
        raise ValueError(
            f"{path} is not an image that can be read here ({kind}); convert it to PNG or JPEG, or remove it"
        ) from error
    if deep:
        raise ValueError(f"{path} has more than 8 bits per channel ({image.mode}); convert it to an 8-bit PNG or JPEG")
