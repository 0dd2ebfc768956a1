"""Which task the options ask for."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from gifd_ops.tasks import TASKS
from study.choices import check_name
from study.task.definition import Definition
from study.task.file import read_task_file
from study.task.published import published_task

PUBLISHED = ("ffhq", "imagenet")


def choose_task(options: argparse.Namespace) -> Definition | None:
    """The task that `--task`, `--data` and `--weights` describe; None for a built-in one. Raises ValueError."""
    if options.task in PUBLISHED:
        return published_task(options.task, data=options.data, weights=options.weights)
    if options.data is not None or options.weights is not None:
        raise ValueError(
            f"--data and --weights belong to --task {' or '.join(PUBLISHED)}, got --task {options.task}; leave them out"
        )
    if options.task.endswith(".toml"):
        return read_task_file(Path(options.task))
    check_name("task", options.task, (*TASKS, *PUBLISHED, "FILE.toml"))
    return None


def narrow(definition: Definition, *, victim: str | None, domains: str | None) -> Definition:
    """The task with another victim, or fewer domains, if the options say so. Raises ValueError."""
    if victim is not None:
        definition = replace(definition, victim=victim)
    if domains is None:
        return definition
    names = [check_name("domain", name.strip(), definition.domains) for name in domains.split(",")]
    return replace(
        definition,
        domains={name: folder for name, folder in definition.domains.items() if name in names},
        in_distribution=tuple(name for name in definition.in_distribution if name in names),
    )
