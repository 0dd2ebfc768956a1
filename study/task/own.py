"""A task of a person's own on a worker: its generator, its victims, its pictures."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gifd_ops.generators.biggan_config import BigGanConfig
from gifd_ops.generators.checkpoints import (
    Config,
    PublicGenerator,
    approximate,
    build,
    config_from_dict,
    read_checkpoint,
)
from gifd_ops.generators.stylegan2_network import StyleGan2Config
from gifd_ops.seeds import derive_seed
from gifd_ops.sources.source import Source, open_picture
from gifd_ops.targets import Target, to_square
from gifd_ops.victim_code import build_layers, find_builder
from gifd_ops.victims import VICTIMS, Victim, build_victim
from study.plan import StudyPlan
from study.task.inputs import Inputs


class OwnTask:
    """A plan's own task with the files at hand. Raises ValueError for files that are no longer the same."""

    def __init__(self, plan: StudyPlan, inputs: Inputs) -> None:
        assert plan.own_task is not None
        self.plan, self.inputs, self.content = plan, inputs, plan.own_task

    def generator(self) -> PublicGenerator:
        """The generator with its weights."""
        path, content = Path(self.inputs.checkpoint), self.content
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != content.checkpoint_sha256:
            raise ValueError(
                f"{path} has changed since the study began: its sha256 was {content.checkpoint_sha256}, it is {found}; "
                "restore it, or begin another study"
            )
        told = self._sizes()
        config, weights = read_checkpoint(
            path,
            content.architecture,
            clamp=told.clamp if isinstance(told, StyleGan2Config) else None,
            expected=told if isinstance(told, BigGanConfig) else None,
        )
        config, weights = approximate(config, weights, content.approximation, size_px=content.size_px)
        assert config == told
        return build(config, size_px=content.size_px, weights=weights)

    def untrained(self, seed: int) -> PublicGenerator:
        """The generator with random weights: a control."""
        return build(self._sizes(), size_px=self.content.size_px, weights=None, seed=seed)

    def _sizes(self) -> Config:
        return config_from_dict(self.content.architecture, json.loads(self.content.sizes))

    def victim(self, name: str, *, seed: int) -> Victim:
        """The victim, initialized from `seed`."""
        content = self.content
        num_classes, size_px = content.num_classes, content.size_px
        pixels = {"pixel_mean": content.pixel_mean, "pixel_std": content.pixel_std}
        if name in VICTIMS:
            return build_victim(name, seed=seed, num_classes=num_classes, size_px=size_px, **pixels)
        builder, digest = find_builder(name, code=None if self.inputs.code is None else Path(self.inputs.code))
        if digest != content.victim_sha256:
            raise ValueError(f"the code of the victim {name} has changed since the study began; restore it")
        return Victim(build_layers(builder, name, num_classes=num_classes, size_px=size_px, seed=seed), **pixels)

    def targets(self, split: str) -> list[Target]:
        """The targets of a split, domain by domain."""
        return [
            Target(
                target_id=_target_id(domain, digest),
                domain=domain,
                split=split,
                label=label,
                image=self._image(domain, digest),
                seed=derive_seed(self.plan.seed, "attack", split, _target_id(domain, digest)),
            )
            for domain in self.plan.domains
            for digest, label in self._split(domain, split)
        ]

    def others(self, targets: list[Target]) -> Tensor:
        """For each target another picture of its domain, of its class where there is one: [n, 3, h, w]."""
        others = []
        for target in targets:
            entries = self.content.of_domain(target.domain)
            place = [_target_id(target.domain, digest) for digest, _ in entries].index(target.target_id)
            following = [*entries[place + 1 :], *entries[:place]]
            alike = [digest for digest, label in following if label == target.label]
            others.append(self._image(target.domain, (alike or [digest for digest, _ in following])[0]))
        return torch.stack(others)

    def gallery(self, domain: str, *, count: int) -> Tensor:
        """Up to `count` pictures of a domain that no split holds, [n, 3, h, w]."""
        size_px = self.content.size_px
        chosen = self._split(domain, "gallery")[:count]
        if not chosen:
            return torch.empty(0, 3, size_px, size_px)
        return torch.stack([self._image(domain, digest) for digest, _ in chosen])

    def _split(self, domain: str, split: str) -> tuple[tuple[str, int], ...]:
        plan = self.plan
        return self.content.split(domain, split, tune=plan.targets_per_domain, test=plan.test_targets_per_domain)

    def _image(self, domain: str, digest: str) -> Tensor:
        """A picture by its sha256, [3, size_px, size_px] in [0, 1]."""
        place = self.inputs.pictures[domain][digest]
        if place.startswith("cifar10:"):
            return to_square(self._cifar_image(place, digest), size_px=self.content.size_px)
        path = Path(place)
        if not path.is_file():
            raise ValueError(f"{path} is a picture of this study and is no longer there; restore it")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{path} has changed since the study began; restore it, or begin another study")
        return to_square(open_picture(path), size_px=self.content.size_px)

    def _cifar_image(self, place: str, digest: str) -> Image.Image:
        folder, _, number = place.removeprefix("cifar10:").rpartition(":")
        source = self._cifar[folder]
        entry = source.entries[int(number)]
        if source.digest(entry) != digest:
            raise ValueError(f"{source.where(entry)} has changed since the study began; restore it")
        return source.open(entry)

    @cached_property
    def _cifar(self) -> dict[str, Source]:
        from gifd_ops.sources.torchvision_sets import cifar10

        folders = {
            place.removeprefix("cifar10:").rpartition(":")[0]
            for pictures in self.inputs.pictures.values()
            for place in pictures.values()
            if place.startswith("cifar10:")
        }
        return {folder: cifar10(Path(folder), num_classes=self.content.num_classes) for folder in folders}


def _target_id(domain: str, digest: str) -> str:
    return f"{domain}-{digest[:12]}"
