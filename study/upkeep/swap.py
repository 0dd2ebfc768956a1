"""Tables rewritten as a whole, safely: built in a hidden folder beside, then swapped in. Killed anywhere, old or new.

The order is: build and flush the new tables; write the mark, which decides that the new ones count; put them in place;
delete what was there before. `settle` undoes what lacks the mark and finishes what has it. Only for the one driver.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from study.ledger import flush

BESIDE = ".rewrite"
OVER = ".rewrite.over"  # what is left of a rewrite that is in place, while it is deleted
MARK = "mark.json"
BEFORE = "before"  # the tables as they were, below BESIDE, until they are deleted


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A rewrite that is being built: new tables and files go below `folder`, named as in the results."""

    folder: Path

    def write(self, part: str, rows: pa.Table) -> None:
        """Write a part of a new table; `part` is its path below the results."""
        path = self._make_way(part)
        pq.write_table(rows, path)
        flush(path)

    def copy(self, part: Path, *, results: Path) -> None:
        """Take a part of the results over as it is."""
        path = self._make_way(part.relative_to(results).as_posix())
        shutil.copyfile(part, path)
        flush(path)

    def write_text(self, name: str, text: str) -> None:
        """Write a file that is to replace the one of this name in the results."""
        path = self._make_way(name)
        path.write_text(text)
        flush(path)

    def _make_way(self, part: str) -> Path:
        path = self.folder / part
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
        return path


@contextmanager
def rewriting(results: Path, *, tables: Sequence[str], what: str, set_aside: Sequence[str] = ()) -> Iterator[Rewrite]:
    """Build new tables in the body, swap them in when it ends well.

    tables: those that the body writes, each as a whole. what: a word for the rewrite, for messages.
    set_aside: files of the results that do not fit the new tables; they are renamed `.NAME.before-WHAT`.
    """
    settle(results)
    folder = results / BESIDE
    for new in (folder, *(folder / table for table in tables)):
        new.mkdir(mode=0o700)
    replaced = {table: _parts(results / table) for table in tables}
    try:
        yield Rewrite(folder=folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        flush(path)
    mark = {"what": what, "replaced": replaced, "set_aside": list(set_aside)}
    partial = folder / f".{MARK}.partial"
    partial.write_text(json.dumps(mark))
    flush(partial)
    os.replace(partial, folder / MARK)
    flush(folder)
    _finish(results)


def is_unsettled(results: Path) -> bool:
    """Whether a rewrite was interrupted before its end."""
    return (results / BESIDE).exists()


def settle(results: Path) -> str | None:
    """Finish or undo a rewrite that was interrupted; what was done, in a sentence, None if there was none."""
    shutil.rmtree(results / OVER, ignore_errors=True)
    folder = results / BESIDE
    if not folder.exists():
        return None
    if not (folder / MARK).exists():
        shutil.rmtree(folder)
        return "an interrupted rewrite of the tables was undone; nothing had been changed"
    what = json.loads((folder / MARK).read_text())["what"]
    _finish(results)
    return f"an interrupted rewrite of the tables ({what}) was finished"


def _finish(results: Path) -> None:
    """Put new tables in place. Every step may be the last of a killed process, and is passed over when repeated."""
    folder = results / BESIDE
    mark = json.loads((folder / MARK).read_text())
    (folder / BEFORE).mkdir(exist_ok=True)
    for table, replaced in mark["replaced"].items():
        new, before = folder / table, folder / BEFORE / table
        if new.exists():
            if not before.exists():
                os.replace(results / table, before)
            os.replace(new, results / table)
        if before.exists():
            _keep_late_parts(before, results / table, known=set(replaced))
    for name in (path.name for path in folder.iterdir() if path.is_file() and path.name != MARK):
        os.replace(folder / name, results / name)
    for name in mark["set_aside"]:
        if (results / name).exists():
            os.replace(results / name, results / f".{name}.before-{mark['what']}")
    flush(results)
    os.replace(folder, results / OVER)
    shutil.rmtree(results / OVER)


def _keep_late_parts(before: Path, table: Path, *, known: set[str]) -> None:
    """Move on what a worker, left over from a killed driver, wrote while the new tables were built."""
    for part in sorted(set(_parts(before)) - known):
        os.replace(before / part, table / part)


def _parts(table: Path) -> list[str]:
    return sorted(path.relative_to(table).as_posix() for path in table.rglob("[!.]*.parquet"))
