"""FFHQ: faces and, in a folder `json`, what a service said of them. The class of a face is its decade of age."""

from __future__ import annotations

import json
from pathlib import Path

from gifd_ops.sources.folders import class_folders
from gifd_ops.sources.source import Entry, Source, check_classes, of_files, picture_files

YEARS_PER_CLASS = 10


def ffhq(folder: Path, *, num_classes: int) -> Source:
    """Faces labelled by age // 10, read from `json/NAME.json` in the folder or beside it; else sub-folders are classes.

    The age is at `[0].faceAttributes.age`, as in the published ffhq-features-dataset. Raises ValueError naming the
    first file without an age: no other picture is ever taken in its stead.
    """
    described = next((place for place in (folder / "json", folder.parent / "json") if place.is_dir()), None)
    if described is None:
        return class_folders(folder, num_classes=num_classes)
    entries = [
        Entry(name=path.relative_to(folder).as_posix(), label=int(_age(path, described) // YEARS_PER_CLASS))
        for path in picture_files(folder)
    ]
    check_classes(entries, folder, num_classes=num_classes)
    return of_files(folder, entries)


def _age(picture: Path, described: Path) -> float:
    path = described / f"{picture.stem}.json"
    remedy = "add the file, remove the picture, or sort pictures into sub-folders, which are then classes"
    if not path.is_file():
        raise ValueError(f"{picture} has no label: {path} does not exist; {remedy}")
    try:
        faces = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{picture} has no label: {path} cannot be read ({error}); {remedy}") from None
    try:
        age = float(faces[0]["faceAttributes"]["age"])
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"{picture} has no label: {path} tells no age of a face; {remedy}") from None
    return age
