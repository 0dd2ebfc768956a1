"""Where LPIPS finds its backbones' weights: public files of 233 and 528 MB that are neither shipped nor fetched."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The ImageNet weights that torchvision publishes for a network."""

    file: str
    sha256_prefix: str  # torch's custom: the file's name holds the first 8 digits
    smallest_px: int  # the images that leave a pixel to its last features

    @property
    def url(self) -> str:
        """Where the file can be had."""
        return f"https://download.pytorch.org/models/{self.file}"


BACKBONES: dict[str, Backbone] = {
    # pooled twice (3 px, stride 2) after a stride of 4
    "alex": Backbone(file="alexnet-owt-7be5be79.pth", sha256_prefix="7be5be79", smallest_px=31),
    # halved four times
    "vgg": Backbone(file="vgg16-397923af.pth", sha256_prefix="397923af", smallest_px=16),
}


def backbone_of(net: str) -> Backbone:
    """The backbone of an LPIPS network; raises ValueError for a network that is not in the table."""
    if net not in BACKBONES:
        raise ValueError(f"LPIPS runs on one of {', '.join(BACKBONES)}, got {net!r}")
    return BACKBONES[net]


def hub_folder() -> Path:
    """Where torch.hub keeps checkpoints: in TORCH_HOME, else XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def find_backbone(net: str, folder: Path | None = None) -> Path | None:
    """The backbone's file in `folder` (None: in torch's own), or None if it is not there; contents are not read."""
    path = (hub_folder() if folder is None else folder) / backbone_of(net).file
    return path if path.is_file() else None


def check_backbone(path: Path, net: str) -> None:
    """Raises ValueError unless the file's sha256 begins as published; reads the whole file (about a second)."""
    backbone = backbone_of(net)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(backbone.sha256_prefix):
        raise ValueError(
            f"{path} is not the published {backbone.file}: its sha256 should begin with {backbone.sha256_prefix}, "
            f"got {found[:8]} ({path.stat().st_size} bytes); it is cut short or altered: "
            f"delete it and fetch {backbone.url} again"
        )


def how_to_get(net: str, folder: Path | None = None) -> str:
    """What to do about an absent backbone, in a sentence."""
    backbone, place = backbone_of(net), hub_folder() if folder is None else folder
    return (
        f"copy {backbone.file} into {place}, or fetch it there on a machine with internet access: "
        f"python -c \"from torch.hub import load_state_dict_from_url as get; get('{backbone.url}', "
        f"model_dir='{place}', check_hash=True, weights_only=True)\""
    )
