"""What is sent to a cluster: the command, the code, and what its driver finds in its environment."""

from __future__ import annotations

import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SENT = ("analysis", "gifd_ops", "search_spaces", "study", "pyproject.toml")  # of the project, and nothing beside
STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}  # as Ctrl-C: the study says how to go on
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)


def check_arguments(arguments: Sequence[str], token: str | None) -> list[str]:
    """The study's arguments, if a cluster can run them; ValueError otherwise."""
    given = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not given:
        raise ValueError("what the study is comes after --, as for study.launch: -- --space ood --results /shared/ood")
    if any(text == "--address" or text.startswith("--address=") for text in given):
        raise ValueError("the study uses the cluster that it runs in; give --address before --, and none after it")
    folder = _value_of("--results", given)
    if folder is None or not Path(folder).is_absolute():
        raise ValueError(
            "a study on a cluster needs --results with a whole path on storage that all its nodes share (--results "
            f"/shared/ood), got {folder or 'none'}: what lies elsewhere is gone with the job"
        )
    if token is not None and any(token in text for text in given):
        raise ValueError("the cluster's token is among the study's arguments, which everybody can read; leave it out")
    return given


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    found = None
    for text, following in zip(arguments, [*arguments[1:], None], strict=True):
        if text == option:
            found = following
        elif text.startswith(f"{option}="):
            found = text.partition("=")[2]
    return found


def entrypoint(arguments: Sequence[str], *, python: tuple[int, int] = sys.version_info[:2]) -> str:
    """The command that the cluster runs."""
    version = ".".join(map(str, python))
    return shlex.join(["python", "-m", "study.cluster.inside", version, *arguments])


def runtime_environment(entries: Sequence[str], *, project: Path) -> dict[str, Any]:
    """The job's folder and environment. entries: NAME=VALUE; the dashboard shows them, so none may be a secret."""
    if not (project / "pyproject.toml").is_file():
        raise ValueError(f"a cluster is sent a clone of this project, and {project} is none; run it in one")
    variables = dict(STOP)
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--env takes NAME=VALUE, got {name!r}")
        if SECRET.search(name):
            raise ValueError(f"--env {name} looks like a secret, and Ray's dashboard shows it; set it on the nodes")
        variables[name] = value
    return {"working_dir": str(project), "excludes": excludes(project), "env_vars": variables}


def excludes(project: Path) -> list[str]:
    """What of the project's folder stays here (results, weights of others, caches, git), as Ray's patterns."""
    beside = sorted(path.name for path in project.iterdir() if path.name not in SENT)
    return [*(f"/{name}" for name in beside), "__pycache__/"]


def job_id(name: str) -> str:
    """An id of its own for each time a study is sent."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise ValueError(f"--name takes letters, digits, _, . and -, at most 64, got {name!r}")
    return f"{name}-{secrets.token_hex(4)}"
