"""Folders whose names are classes, and folders without classes."""

from __future__ import annotations

from pathlib import Path

from gifd_ops.sources.source import Entry, Source, check_classes, of_files, picture_files


def class_folders(folder: Path, *, num_classes: int) -> Source:
    """Sub-folders are classes, numbered in the order of their names (as in PACS). Raises ValueError."""
    files = picture_files(folder)
    classes = sorted({path.relative_to(folder).parts[0] for path in files if path.parent != folder})
    if len(classes) > num_classes:
        raise ValueError(
            f"{folder} has {len(classes)} sub-folders with pictures, which are classes, and the victim has "
            f"{num_classes}; leave some out, or raise num_classes"
        )
    entries = []
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) == 1:
            raise ValueError(
                f"{path} has no label: it lies beside the sub-folders, which are classes; move it into one"
            )
        entries.append(Entry(name="/".join(parts), label=classes.index(parts[0])))
    check_classes(entries, folder, num_classes=num_classes)
    return of_files(folder, entries)


def flat(folder: Path, *, num_classes: int) -> Source:
    """Pictures without classes: each gets one drawn from the study's seed."""
    return of_files(
        folder, [Entry(name=path.relative_to(folder).as_posix(), label=None) for path in picture_files(folder)]
    )
