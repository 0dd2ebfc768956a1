"""A task in a TOML file, read and checked: `docs/own-data.md` explains every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gifd_ops.sources.layouts import LAYOUTS
from search_spaces.recipes import RECIPES
from study.choices import check_name
from study.task.definition import Definition, Folder

ARCHITECTURES, APPROXIMATIONS = ("stylegan2", "biggan"), ("none", "lower_layers")
KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {"name": str, "size_px": int, "num_classes": int, "recipe": str},
    "generator": {
        "architecture": str, "checkpoint": str, "sha256": str, "config": str, "clamp": (int, float), "trained_on": list,
        "approximation": str,
    },
    "victim": {"model": str, "pixel_mean": list, "pixel_std": list},
    "domains.": {"folder": str, "layout": str},
    "splits": {"tune": int, "test": int},
    "conditions": {
        "method": str, "control": str, "labels": str, "compat": str, "budget": int, "patience": int, "gallery": int,
    },
}  # fmt: skip
REQUIRED = {"": ("size_px", "num_classes"), "generator": ("architecture", "checkpoint"), "domains.": ("folder",)}
OPTIONS = {
    "tune": "targets_per_domain",
    "test": "test_targets_per_domain",
}  # what splits are called on the command line
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def read_task_file(path: Path) -> Definition:
    """The task that a file describes. Paths in it count from the file's folder. Raises ValueError."""
    try:
        told = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"--task {path}: there is no such file; give the name of a task, or of a TOML file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no TOML that can be read ({error}); mend it") from None
    _check_tables(told, path)
    generator, victim = told["generator"], told.get("victim", {})
    here, size = path.resolve().parent, told["size_px"]
    name = told.get("name", path.stem)
    if not NAME.fullmatch(name):
        raise ValueError(f"{path}: a name is small letters, digits, - and _, at most 40, got {name!r}; choose another")
    domains = {
        domain: Folder(path=here / entry["folder"], layout=entry.get("layout", "class_folders"))
        for domain, entry in told["domains"].items()
    }
    for domain, folder in domains.items():
        check_name("domain", domain, [domain] if NAME.fullmatch(domain) else ["a name of small letters"])
        check_name("layout", folder.layout, LAYOUTS)
    for number in ("size_px", "num_classes"):
        if told[number] < 2:
            raise ValueError(f"{path}: {number} must be 2 or more, got {told[number]}")
    trained_on = tuple(generator.get("trained_on", ()))
    for domain in trained_on:
        check_name("domain", domain, domains)
    sizes = generator.get("config")
    return Definition(
        name=name,
        size_px=size,
        num_classes=told["num_classes"],
        architecture=check_name("architecture", generator["architecture"], ARCHITECTURES),
        approximation=check_name("approximation", generator.get("approximation", "none"), APPROXIMATIONS),
        checkpoint=here / generator["checkpoint"],
        sha256=generator.get("sha256"),
        sizes=None if sizes is None else here / sizes,
        clamp=generator.get("clamp"),
        victim=victim.get("model", "resnet18"),
        code=here,
        pixel_mean=_channels(path, "pixel_mean", victim.get("pixel_mean", [0.5] * 3)),
        pixel_std=_channels(path, "pixel_std", victim.get("pixel_std", [0.25] * 3)),
        domains=domains,
        in_distribution=trained_on,
        recipe=check_name("recipe", told.get("recipe", "scaled"), RECIPES),
        defaults={
            **{OPTIONS[name]: value for name, value in told.get("splits", {}).items()},
            **told.get("conditions", {}),
        },
    )


def _check_tables(told: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError for keys that are not known, missing, or of another type."""
    tables = [name for name in KEYS if name and not name.endswith(".")] + ["domains"]
    for key in told:
        if key not in KEYS[""] and key not in tables:
            check_name(f"key in {path},", key, [*KEYS[""], *(f"[{table}]" for table in tables)])
    for table in ("generator", "domains"):
        if not isinstance(told.get(table), dict) or not told[table]:
            raise ValueError(f"{path} needs a table [{table}{'.NAME' if table == 'domains' else ''}]; add it")
    _check_keys({key: value for key, value in told.items() if key in KEYS[""]}, "", "the top", path)
    for table in tables:
        entry = told.get(table, {})
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: [{table}] is a table, got {entry!r}; write [{table}] and its keys below")
        if table != "domains":
            _check_keys(entry, table, f"[{table}]", path)
            continue
        for domain, values in entry.items():
            if not isinstance(values, dict):
                raise ValueError(f"{path}: [domains.{domain}] is a table with a folder, got {values!r}")
            _check_keys(values, "domains.", f"[domains.{domain}]", path)


def _check_keys(values: Mapping[str, Any], table: str, where: str, path: Path) -> None:
    known = KEYS[table]
    for key, value in values.items():
        check_name(f"key in {where} of {path},", key, known)
        if not isinstance(value, known[key]) or isinstance(value, bool):
            allowed = known[key]
            kinds = allowed if isinstance(allowed, tuple) else (allowed,)
            words = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{path}: {key} in {where} is of type {words}, got {value!r}; mend it")
    for key in REQUIRED.get(table, ()):
        if key not in values:
            raise ValueError(f"{path} needs {key} in {where}; add it")


def _channels(path: Path, name: str, values: list[Any]) -> tuple[float, float, float]:
    if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
        raise ValueError(f"{path}: {name} is three numbers, one per channel, got {values}")
    red, green, blue = map(float, values)
    if name == "pixel_std" and min(red, green, blue) <= 0:
        raise ValueError(f"{path}: pixel_std is above 0 in every channel, got {values}; 1.0 leaves pixels unscaled")
    return red, green, blue
