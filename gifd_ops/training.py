"""Victims that have been trained for a while, on portraits that no split of a study holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.seeds import derive_seed
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import Victim, untrained_layers

IMAGES_PER_EPOCH, BATCH = 2000, 50
LEARNING_RATE = 1e-3


def trained_victim(name: str, *, epochs: int, seed: int) -> Victim:
    """A victim of the portraits task that saw `epochs` epochs of portraits of the default domains, with Adam.

    Initialized from `seed` as `build_victim` does it, and shown images of seeds that depend on it alone: the same seed
    gives the same weights on the same kind of machine. The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        layers = untrained_layers(name, seed=seed, num_classes=PORTRAITS.num_classes, size_px=PORTRAITS.size_px)
        layers.train()
        optimizer = torch.optim.Adam(layers.parameters(), lr=LEARNING_RATE)
        for epoch in range(epochs):
            for images, labels in _batches(seed, epoch):
                optimizer.zero_grad()
                functional.cross_entropy(layers(_normalized(images)), labels).backward()
                optimizer.step()
    return _victim(layers)


def accuracy(victim: Victim, *, count: int = 500) -> float:
    """Share of portraits that were neither trained on nor are attacked whose class the victim tells."""
    images, labels = _portraits(range(SEED_RANGES["gallery"].stop - count, SEED_RANGES["gallery"].stop))
    with torch.no_grad():
        return float((victim(images).argmax(dim=1) == labels).double().mean())


def save_victim(victim: Victim, path: Path, *, name: str) -> str:
    """Write weights and running statistics as safetensors, whole or not at all; returns the file's sha256."""
    partial = path.with_name(f".{path.name}.partial")
    tensors = {key: value.contiguous() for key, value in victim.layers.state_dict().items()}
    save_file(tensors, partial, metadata={"victim": name})
    partial.replace(path)
    return sha256_of(path)


def load_victim(path: Path, name: str, *, sha256: str | None = None) -> Victim:
    """The victim of that name with a file's weights; ValueError if they are not its, or not the file that was meant."""
    if sha256 is not None and sha256_of(path) != sha256:
        raise ValueError(f"{path} is to have sha256 {sha256}, got {sha256_of(path)}; give the file that the plan names")
    layers = untrained_layers(name, seed=0, num_classes=PORTRAITS.num_classes, size_px=PORTRAITS.size_px)
    try:
        layers.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise kinds of their own
        raise ValueError(
            f"{path} does not hold the weights of the victim {name}: {str(error).splitlines()[0]}"
        ) from error
    return _victim(layers)


def sha256_of(path: Path) -> str:
    """Of a file's contents, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _victim(layers: nn.Module) -> Victim:
    return Victim(layers, pixel_mean=PORTRAITS.pixel_mean, pixel_std=PORTRAITS.pixel_std)


def _normalized(images: Tensor) -> Tensor:
    mean, std = (torch.as_tensor(told).view(-1, 1, 1) for told in (PORTRAITS.pixel_mean, PORTRAITS.pixel_std))
    return (images - mean) / std


def _batches(seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of new portraits, classes in no order."""
    stream = torch.Generator().manual_seed(derive_seed(seed, "victim training", epoch))
    seeds = torch.randint(len(SEED_RANGES["train"]), (IMAGES_PER_EPOCH,), generator=stream)
    for some in seeds.split(BATCH):
        yield _portraits(some.tolist())


def _portraits(seeds: list[int] | range) -> tuple[Tensor, Tensor]:
    """Portraits of these seeds, of the default domains in turn."""
    domains = PORTRAITS.default_domains
    drawn = [draw(list(seeds)[place :: len(domains)], domain=domain) for place, domain in enumerate(domains)]
    images, labels = zip(*drawn, strict=True)
    return torch.cat(images), torch.cat(labels)
