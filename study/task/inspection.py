"""Opens what a task is made of: `python -m study.task.inspection < request.json`, a process of its own.

The driver never imports torch. Writes `{"content": ..., "inputs": ...}`, or `{"problem": ...}` with exit code 2.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gifd_ops.generators.checkpoints import approximate, build, read_checkpoint
from gifd_ops.seeds import derive_seed
from gifd_ops.sources.layouts import open_source
from gifd_ops.sources.source import Entry, Source, check_large_enough
from gifd_ops.victim_check import check_victim
from gifd_ops.victim_code import build_layers, count_layers, find_builder
from gifd_ops.victims import VICTIMS, Victim, build_victim


def main() -> int:
    """Inspect the task on the standard input. Returns the exit code."""
    told = answer(json.load(sys.stdin))
    print(json.dumps(told))
    return 2 if "problem" in told else 0


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Content and inputs of the task asked for, or what is wrong with it."""
    try:
        return inspect(asked["definition"], seed=asked["seed"], wanted=asked["wanted"])
    except (ValueError, OSError) as error:
        return {"problem": str(error)}


def inspect(told: Mapping[str, Any], *, seed: int, wanted: Mapping[str, int]) -> dict[str, Any]:
    """Content and inputs of a definition (as JSON). Raises ValueError: rule, value, remedy.

    wanted: pictures that each domain must have (`least`), and how many are taken if there are so many (`most`).
    """
    checkpoint = Path(told["checkpoint"])
    sizes = None if told["sizes"] is None else Path(told["sizes"])
    config, weights = read_checkpoint(checkpoint, told["architecture"], sizes=sizes, clamp=told["clamp"])
    digest = _digest(checkpoint)
    if told["sha256"] is not None and digest != told["sha256"].lower():
        raise ValueError(
            f"{checkpoint} is not the file that the task names: sha256 should be {told['sha256']}, got {digest}; it is "
            "cut short or altered: fetch it again"
        )
    config, weights = approximate(config, weights, told["approximation"], size_px=told["size_px"])
    shape = build(config, size_px=told["size_px"], weights=weights).shape
    classes = getattr(config, "num_classes", None)
    if classes is not None and told["num_classes"] > classes:
        raise ValueError(
            f"the generator has {classes} classes and the victim {told['num_classes']}: labels of the victim must be "
            "classes of the generator; lower num_classes"
        )
    pictures: dict[str, list[tuple[str, int]]] = {}
    places: dict[str, dict[str, str]] = {}
    for domain, folder in told["domains"].items():
        source = open_source(Path(folder["path"]), folder["layout"], num_classes=told["num_classes"])
        pictures[domain], places[domain] = _choose(source, domain, told, seed=seed, wanted=wanted)
    layers, code = _victim(told)
    names = ("name", "size_px", "num_classes", "architecture", "approximation", "victim", "pixel_mean", "pixel_std")
    content = {
        **{name: told[name] for name in (*names, "in_distribution", "recipe")},
        "sizes": json.dumps(asdict(config)),
        "checkpoint_sha256": digest,
        "feature_scalars": shape.feature_scalars,
        "latent_scalars": shape.latent_scalars,
        "victim_layers": layers,
        "victim_sha256": code,
        "pictures": list(pictures.items()),
    }
    inputs = {"checkpoint": str(checkpoint.resolve()), "code": told["code"], "pictures": places}
    return {"content": content, "inputs": inputs}


def _choose(
    source: Source, domain: str, told: Mapping[str, Any], *, seed: int, wanted: Mapping[str, int]
) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """The pictures of a domain that a study uses, in an order drawn from its seed, and where they lie."""
    if len(source.entries) < wanted["least"]:
        raise ValueError(
            f"the domain {domain} has {len(source.entries)} pictures, and this study needs {wanted['least']} (tune, "
            "test and select share none); add pictures, or lower --targets-per-domain and --test-targets-per-domain"
        )
    ordered = sorted(source.entries, key=lambda entry: derive_seed(seed, "order", domain, entry.name))
    chosen: list[tuple[str, int]] = []
    places: dict[str, str] = {}
    seen: dict[str, Entry] = {}
    for entry in ordered[: wanted["most"]]:
        check_large_enough(source.open(entry), source.where(entry), size_px=told["size_px"])
        digest = source.digest(entry)
        if digest in seen:
            raise ValueError(f"{source.where(entry)} and {source.where(seen[digest])} are the same picture; remove one")
        seen[digest] = entry
        label = entry.label
        if label is None:
            label = derive_seed(seed, "label", digest) % told["num_classes"]
        chosen.append((digest, label))
        places[digest] = source.place(entry)
    return chosen, places


def _victim(told: Mapping[str, Any]) -> tuple[int, str | None]:
    """How many layers with parameters the victim has, and the sha256 of its code if it is none of ours."""
    sizes = {"num_classes": told["num_classes"], "size_px": told["size_px"]}
    if told["victim"] in VICTIMS:
        victim = build_victim(told["victim"], seed=0, pixel_mean=0.5, pixel_std=0.25, **sizes)
        return count_layers(victim.layers), None
    if ":" not in told["victim"]:
        raise ValueError(f"a victim is one of {', '.join(VICTIMS)}, or MODULE:FUNCTION, got {told['victim']!r}")
    builder, code = find_builder(told["victim"], code=None if told["code"] is None else Path(told["code"]))
    layers = build_layers(builder, told["victim"], seed=0, **sizes)
    victim = Victim(layers, pixel_mean=told["pixel_mean"], pixel_std=told["pixel_std"])
    check_victim(victim, image_shape=(3, told["size_px"], told["size_px"]), num_classes=told["num_classes"])
    return count_layers(layers), code


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
