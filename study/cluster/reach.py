"""Whether a cluster's job server answers, takes the token, and runs a Ray that this one can talk to. No Ray here."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from importlib import metadata, util
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0


def check_extra() -> None:
    """Raise ValueError where what talks to a job server is not installed."""
    if util.find_spec("aiohttp") is None:
        raise ValueError('submitting needs ray[default]; install it: pip install "ray[default]"')


def check_cluster(address: str, token: str | None, *, here: str | None = None) -> str:
    """The cluster's Ray version; ValueError if a study cannot be sent there.

    here: the Ray version of this side (that which is installed).
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"--address takes http://HOST:8265, the dashboard of a Ray head, got {address!r}")
    there, here = _ask_version(address, token), here or metadata.version("ray")
    if there.split(".")[:2] != here.split(".")[:2]:
        raise ValueError(
            f"the cluster runs Ray {there}, this side Ray {here}; install the same here: "
            f'pip install "ray[default]=={there}"'
        )
    return there


def _ask_version(address: str, token: str | None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request(f"{address.rstrip('/')}/api/version", headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return str(json.load(answer)["ray_version"])
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ValueError(_refused(address, token)) from None
        problem = f"HTTP status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"nothing answers at {address} ({getattr(error, 'reason', error)}); start the cluster, or open a tunnel to "
            "its head: ssh -L 8265:127.0.0.1:8265 HEAD"
        ) from None
    except (ValueError, KeyError, TypeError):
        problem = "an answer that is not Ray's"
    raise ValueError(f"{address} is no Ray dashboard ({problem}); give the address that `ray start --head` printed")


def _refused(address: str, token: str | None) -> str:
    where = "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it"
    if token is None:
        return f"{address} asks for a token, and there is none here; set {where} (on the head: ray get-auth-token)"
    return f"{address} does not take this token; set {where}, to what `ray get-auth-token` prints on the head"
