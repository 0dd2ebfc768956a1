"""The token of a Ray cluster, found where Ray itself looks for it; never an option of a command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def read_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of RAY_AUTH_TOKEN, else of the file RAY_AUTH_TOKEN_PATH, else of ~/.ray/auth_token; None without one.

    Raises ValueError for a file that is named and cannot be read.
    """
    if token := environment.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text().strip() or None
    except OSError as error:
        if named:
            raise ValueError(f"RAY_AUTH_TOKEN_PATH names {named}, which cannot be read ({error.strerror})") from None
        return None
