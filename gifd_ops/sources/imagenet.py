"""ImageNet's validation images: a sub-folder per synset, or one folder and a list of labels."""

from __future__ import annotations

import re
from pathlib import Path

from gifd_ops.sources.source import Entry, Source, check_classes, of_files, picture_files

SYNSET = re.compile(r"n\d{8}")
SYNSETS, LABELS = "synsets.txt", "val.txt"
DEVKIT = "ILSVRC2012_validation_ground_truth.txt"


def imagenet(folder: Path, *, num_classes: int) -> Source:
    """Sub-folders named by synset (n01440764, ...), or files and `val.txt` (`NAME LABEL` lines, labels from 0).

    Class numbers are the places of the synsets in alphabetical order, as every published network counts them. Where
    sub-folders are fewer than the classes, `synsets.txt` lists all of them, a line each, in that order. Raises
    ValueError for a picture without a label.
    """
    files = picture_files(folder)
    beside = next((place / LABELS for place in (folder, folder.parent) if (place / LABELS).is_file()), None)
    in_folders = any(SYNSET.fullmatch(path.parent.name) for path in files)
    if in_folders:
        entries = _by_synset(folder, files, num_classes=num_classes)
    elif beside is not None:
        entries = _by_list(folder, files, beside)
    else:
        devkit = next((place / DEVKIT for place in (folder, folder.parent) if (place / DEVKIT).is_file()), None)
        why = (
            f"{devkit} counts classes as the devkit does, not alphabetically; docs/own-data.md says how to turn it into"
        )
        raise ValueError(
            f"{files[0]} has no label: {folder} has neither sub-folders named by synset (n01440764) nor {LABELS}; "
            + (f"{why} {LABELS}" if devkit else f"sort the pictures into such folders, or write {LABELS} (NAME LABEL)")
        )
    check_classes(entries, folder, num_classes=num_classes)
    return of_files(folder, entries)


def _by_synset(folder: Path, files: list[Path], *, num_classes: int) -> list[Entry]:
    found = sorted({path.parent.name for path in files})
    listed = folder / SYNSETS
    synsets = listed.read_text().split() if listed.is_file() else found
    if len(synsets) != num_classes:
        raise ValueError(
            f"{listed if listed.is_file() else folder} has {len(synsets)} synsets and the victim {num_classes} "
            f"classes, so their numbers are not known; list all {num_classes} in {listed}, a line each, in "
            "alphabetical order"
        )
    places = {synset: place for place, synset in enumerate(synsets)}
    entries = []
    for path in files:
        if path.parent.name not in places:
            raise ValueError(f"{path} has no label: {path.parent.name} is no synset that is listed; move or remove it")
        entries.append(Entry(name=path.relative_to(folder).as_posix(), label=places[path.parent.name]))
    return entries


def _by_list(folder: Path, files: list[Path], listed: Path) -> list[Entry]:
    labels: dict[str, int] = {}
    for number, line in enumerate(listed.read_text().splitlines(), start=1):
        name, _, label = line.strip().rpartition(" ")
        if line.strip() and not (name and label.isdigit()):
            raise ValueError(f"{listed} needs lines of NAME LABEL, got {line!r} in line {number}; mend it")
        if line.strip():
            labels[name] = int(label)
    entries = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name not in labels:
            raise ValueError(f"{path} has no label: {listed} does not name it; add a line, or remove the picture")
        entries.append(Entry(name=name, label=labels[name]))
    return entries
