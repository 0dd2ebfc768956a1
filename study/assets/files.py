"""Files from addresses: resumed where they broke off, checked before they get their name."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
HASH_CHUNK = 1 << 22


class FetchError(RuntimeError):
    """The address did not give the file; what came is kept, to go on from."""


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def problem_of(path: Path, *, size: int | None, sha256: str | None) -> str | None:
    """How a file differs from what is published of it; None if it does not. A sha256 may be its first digits."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes, not {size:,}"
    if sha256 is not None:
        digest = sha256_of(path)
        if not digest.startswith(sha256):
            return f"its sha256 begins with {digest[:12]}, not {sha256[:12]}"
    return None


def fetch(
    address: str, path: Path, *, size: int | None, sha256: str | None, say: Callable[[int, int | None], None]
) -> None:
    """Bring a file from an address to its place, going on with what an earlier try left.

    The file has its name only when it is whole and, where that is published, the right one. say: bytes so far, and of
    how many. Raises FetchError if the address does not answer or breaks off, ValueError for another file than expected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    _download(address, partial, say)
    if (problem := problem_of(partial, size=size, sha256=sha256)) is not None:
        partial.unlink()
        raise ValueError(
            f"{address} gave another {path.name} than the published one: {problem}; what came was deleted. Try again, "
            f"or copy the right file to {path}"
        )
    os.replace(partial, path)


def _download(address: str, partial: Path, say: Callable[[int, int | None], None]) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = have > 0 and answer.status == 206
            have = have if resumed else 0  # a server without ranges sends all of it
            length = answer.headers.get("Content-Length")
            whole = None if length is None else have + int(length)
            with partial.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    say(have, whole)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # there is nothing after what we have: it is whole, or will be found to be another file
        raise FetchError(f"{address} answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise FetchError(f"{address} does not answer ({getattr(error, 'reason', error)})") from None
    if whole is not None and have < whole:
        raise FetchError(f"{address} broke off after {have:,} of {whole:,} bytes")
