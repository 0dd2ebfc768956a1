"""What single options of the command line say. Each raises ValueError: rule, value, remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gifd_ops.pictures import scan_pictures
from gifd_ops.quirks import COMPAT, Quirks, read_quirk
from gifd_ops.seeds import derive_seed
from gifd_ops.tasks import USER_DOMAIN, Task
from search_spaces.base import Range
from study.choices import check_name
from study.plan import StudyPlan


def read_quirks(compat: str, entries: list[str]) -> Quirks:
    """The quirks of `--compat`, changed by `--quirk` entries."""
    quirks = COMPAT[check_name("compatibility", compat, COMPAT)]
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--quirk takes NAME=VALUE, got {entry!r}")
        quirks = replace(quirks, **read_quirk(name, text))
    return quirks


def read_layers(text: str | None, *, num_layers: int) -> tuple[int, int] | None:
    """First and end of `--match-layers`; None for all."""
    if text is None:
        return None
    first, colon, end = text.partition(":")
    if not colon or not first.isdigit() or not end.isdigit() or not int(first) < int(end) <= num_layers:
        raise ValueError(
            f"--match-layers takes FIRST:END with 0 <= FIRST < END <= {num_layers}, the victim's layers with "
            f"parameters, got {text!r}"
        )
    return int(first), int(end)


def read_domains(asked: str | None, of_space: tuple[str, ...] | None, task: Task, *, user: bool) -> tuple[str, ...]:
    """The domains of a study, in the order of the task."""
    if user:
        if asked is not None:
            raise ValueError("--images replaces the task's domains; leave out --domains or --images")
        return (USER_DOMAIN,)
    if asked is None:
        return tuple(d for d in of_space or () if d in task.domains) or task.default_domains
    names = [check_name("domain", name.strip(), task.domains) for name in asked.split(",")]
    return tuple(domain for domain in task.domains if domain in names)


def read_fixed(entries: list[str], ranges: dict[str, Range]) -> dict[str, float]:
    """The parameters that `--set` entries freeze."""
    fixed = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {entry!r}")
        allowed = ranges[check_name("parameter", name, ranges)]
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"--set {name} needs a number, got {text!r}; it may be {allowed}") from None
        if value not in allowed:
            raise ValueError(f"--set {name}={text} lies outside the space: it may be {allowed}")
        fixed[name] = value
    return fixed


def order_pictures(folder: Path, task: Task, *, seed: int) -> tuple[str, ...]:
    """The pictures (sha256), in an order drawn from the seed: the first are for tuning."""
    found = [picture.sha256 for picture in scan_pictures(folder, num_classes=task.num_classes).values()]
    return tuple(sorted(found, key=lambda digest: derive_seed(seed, "order", digest)))


def find_pictures(folder: Path | None, plan: StudyPlan) -> None:
    """Raise ValueError unless a study of a person's own pictures is given the folder that holds them."""
    if plan.pictures is None:
        if folder is not None:
            raise ValueError(
                f"the study attacks no pictures of your own, but --images {folder} was given; leave it out"
            )
        return
    if folder is None:
        raise ValueError("this study attacks your own pictures; give their folder again (--images FOLDER)")
    found = {picture.sha256 for picture in scan_pictures(folder, num_classes=plan.task_info.num_classes).values()}
    if missing := len(set(plan.pictures) - found):
        raise ValueError(
            f"{missing} of the study's {len(plan.pictures)} pictures are not in {folder}; give the folder they are in"
        )
