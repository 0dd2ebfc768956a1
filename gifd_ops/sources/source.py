"""What a collection of pictures is: entries with labels, in an order that depends on their names alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture by its name in the collection (a relative path, or a number), and its class, if it has one."""

    name: str
    label: int | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """The entries of a collection. `read(entry)` is the picture's file, or the bytes of its pixels.

    open(entry): the picture, decoded. where(entry): what to call it in an error. place(entry): how to find it again,
    the file's path or `SET:FOLDER:NUMBER`.
    """

    entries: tuple[Entry, ...]
    read: Callable[[Entry], bytes]
    open: Callable[[Entry], Image.Image]
    where: Callable[[Entry], str]
    place: Callable[[Entry], str]

    def digest(self, entry: Entry) -> str:
        """The sha256 of what the entry holds."""
        return hashlib.sha256(self.read(entry)).hexdigest()


def of_files(folder: Path, entries: Sequence[Entry]) -> Source:
    """A source whose entries are files below a folder."""

    def path_of(entry: Entry) -> Path:
        return folder / entry.name

    return Source(
        entries=tuple(entries),
        read=lambda entry: path_of(entry).read_bytes(),
        open=lambda entry: open_picture(path_of(entry)),
        where=lambda entry: str(path_of(entry)),
        place=lambda entry: str(path_of(entry).resolve()),
    )


def picture_files(folder: Path) -> list[Path]:
    """Every picture below a folder, sorted; hidden files are passed over. ValueError for none, and for no folder."""
    if not folder.is_dir():
        raise ValueError(f"a domain needs a folder of pictures; {folder} is not a folder")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise ValueError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}); put some there")
    return found


def open_picture(path: Path) -> Image.Image:
    """A picture file, decoded, upright. ValueError for what cannot be read and for more than 8 bits per channel."""
    try:
        with Image.open(path) as image:
            image.load()
            upright: Image.Image = ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} is no picture that can be read ({error}); convert it to PNG or JPEG, or remove it"
        ) from error
    if upright.mode.startswith(("I", "F")):
        raise ValueError(
            f"{path} has more than 8 bits per channel ({upright.mode}); convert it to an 8-bit PNG or JPEG"
        )
    return upright


def check_large_enough(image: Image.Image, where: str, *, size_px: int) -> None:
    """Raise ValueError for a picture that would have to be enlarged."""
    if min(image.size) < size_px:
        width, height = image.size
        raise ValueError(
            f"{where} is {width} x {height} px, and pictures are shrunk to {size_px} px, never enlarged; remove it, or "
            "choose a smaller size_px"
        )


def check_classes(entries: Sequence[Entry], folder: Path, *, num_classes: int) -> None:
    """Raise ValueError unless labels are classes of the victim, and of two classes at least."""
    counts = Counter(entry.label for entry in entries)
    for entry in entries:
        if entry.label is not None and not 0 <= entry.label < num_classes:
            raise ValueError(
                f"{folder / entry.name} has label {entry.label}, and the victim has the classes 0 to {num_classes - 1};"
                " raise num_classes, or remove it"
            )
    if None not in counts and len(counts) < 2:
        raise ValueError(
            f"{folder} holds pictures of one class only (label {next(iter(counts))}), so an attack need not find the "
            "label; add a folder of another class, or use layout flat, which draws labels"
        )
