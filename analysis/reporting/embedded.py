"""Figures, tables and pictures as parts of one file: nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

MOST_BYTES = 1 << 20  # of a table in the file; a larger one is named, not embedded
_DRAWN = re.compile(r"Drawn by `([^`]+)`")


@dataclass(frozen=True)
class Table:
    """A CSV: its name, and its content as a data URI; None where it is too large to mail."""

    name: str
    uri: str | None


@dataclass(frozen=True)
class Shown:
    """A figure as analyses keep it: the picture, what it shows, its numbers, and the function that drew it."""

    name: str
    uri: str
    caption: str
    tables: tuple[Table, ...]
    drawn_by: str


def data_uri(content: bytes, kind: str) -> str:
    """`content` as a `data:` address of media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def embed_table(name: str, content: bytes) -> Table:
    """A CSV to download from the file itself."""
    return Table(name, data_uri(content, "text/csv") if len(content) <= MOST_BYTES else None)


def embed_frame(name: str, frame: pd.DataFrame) -> Table:
    """`frame` as CSV."""
    return embed_table(name, frame.to_csv(index=False).encode())


def embed_figures(folder: Path, names: Sequence[str]) -> list[Shown]:
    """Those of the figures `names` in `folder` that are there, as `analysis.figures.publish` wrote them."""
    return [
        embed_figure(folder, name)
        for name in names
        if (folder / f"{name}.png").is_file() and (folder / f"{name}.md").is_file()
    ]


def embed_figure(folder: Path, name: str) -> Shown:
    """Figure `name` of `folder` with caption, tables and the function that drew it."""
    caption, _, note = (folder / f"{name}.md").read_text().rpartition("\n\nNumbers: ")
    listed = [table for table in re.findall(r"`([^`]+\.csv)`", note) if (folder / table).is_file()]
    drawn = _DRAWN.search(note)
    return Shown(
        name,
        data_uri((folder / f"{name}.png").read_bytes(), "image/png"),
        caption.strip(),
        tuple(embed_table(table, (folder / table).read_bytes()) for table in listed),
        drawn.group(1) if drawn else "",
    )
