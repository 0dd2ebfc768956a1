"""Where the files of a task lie on this machine. It is no part of a study: it goes beside the results, hidden."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = ".inputs.json"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Paths of the generator's checkpoint and of every picture that the plan names.

    pictures: by domain and sha256, a file, or a folder and the number of an image where torchvision reads it.
    """

    checkpoint: str
    code: str | None
    pictures: Mapping[str, Mapping[str, str]]

    def save(self, folder: Path) -> Path:
        """Write the file into a folder, whole or not at all; readable by its owner only."""
        path, partial = folder / NAME, folder / f"{NAME}.partial"
        told = {"checkpoint": self.checkpoint, "code": self.code, "pictures": self.pictures}
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump(told, file)
        os.replace(partial, path)
        return path

    @classmethod
    def read(cls, path: Path | None) -> Inputs:
        """The inputs that `save` wrote. Raises ValueError."""
        if path is None or not path.is_file():
            raise ValueError(
                "this study has a task of its own, and where its files lie is not known here; give --task, --data and "
                "--weights again"
            )
        told: dict[str, Any] = json.loads(path.read_text())
        return cls(**told)
