"""The list of assets. A sha256 stands here only where somebody publishes it; `from` says who."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gifd_ops.perceptual_weights import BACKBONES, hub_folder


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of somebody else's."""

    name: str
    purpose: str
    page: str  # where its makers describe it
    address: str | None  # of the file itself; None: it must be made or asked for by hand
    file: str
    size: int | None  # bytes; None: nobody says
    sha256: str | None  # all of it or its first digits; None: nobody publishes it
    sha256_from: str | None  # who does
    licence: str
    how: str | None = None  # what to do where there is no address, or what to do with the file
    torch_hub: bool = False  # kept where torch.hub looks for it

    def path(self) -> Path:
        """Where the file belongs on this machine."""
        return (hub_folder() if self.torch_hub else assets_folder()) / self.file


def assets_folder() -> Path:
    """Where assets are kept: GIFD_ASSETS, else XDG_CACHE_HOME/gifd-study, else ~/.cache/gifd-study."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("GIFD_ASSETS") or Path(cache) / "gifd-study").expanduser()


_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"
_BIGGAN = "https://s3.amazonaws.com/models.huggingface.co/biggan"
_BIGGAN_LICENCE = "none stated for the weights; the package that converted them: MIT"
_EXPORT = "export its G_ema to safetensors in NVIDIA's own environment (docs/assets.md)"


def _biggan(size_px: int, *, size: int | None = None, sha256: str | None = None) -> Asset:
    return Asset(
        name=f"biggan-deep-{size_px}",
        purpose=f"generator of --task imagenet ({size_px} px)" + (", as published" if size_px == 256 else ""),
        page="https://github.com/huggingface/pytorch-pretrained-BigGAN",
        address=f"{_BIGGAN}/biggan-deep-{size_px}-pytorch_model.bin",
        file=f"biggan-deep-{size_px}-pytorch_model.bin",
        size=size,
        sha256=sha256,
        sha256_from=None if sha256 is None else "a third party's catalogue (Uncanny Lab, bundle-b-2026-08-07)",
        licence=_BIGGAN_LICENCE,
    )


def _backbone(net: str, name: str, page: str, *, size: int | None = None) -> Asset:
    backbone = BACKBONES[net]
    return Asset(
        name=name,
        purpose=f"LPIPS ({net})",
        page=page,
        address=backbone.url,
        file=backbone.file,
        size=size,
        sha256=backbone.sha256_prefix,
        sha256_from="its name: torchvision puts the first eight digits there",
        licence="BSD-3-Clause (torchvision); trained on ImageNet",
        torch_hub=True,
    )


ASSETS: tuple[Asset, ...] = (
    Asset(
        name="stylegan2-ffhq",
        purpose="generator of --task ffhq (1024 px, config-f), as published",
        page="https://github.com/rosinality/stylegan2-pytorch",
        address="https://huggingface.co/aaronb/StyleGAN2/resolve/5fde0cdb3664b04e8126dc6b0cab010e7813c18b/"
        "stylegan2-ffhq-config-f.pt",
        file="stylegan2-ffhq-config-f.pt",
        size=132_717_355,
        sha256="646c7e7c5e3fc4cf8e83dcfe5dce505cc74b61d8982c09563932aa15c4baf18c",
        sha256_from="the page of this copy (huggingface.co/aaronb/StyleGAN2, a third party's conversion)",
        licence="Nvidia Source Code License-NC: research, no commercial use",
        how="other conversions of the same network have other sha256 values and load as well: give them with --weights",
    ),
    Asset(
        name="stylegan2-ffhq-nvidia",
        purpose="the same network from its makers, to be exported",
        page="https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/stylegan2",
        address=f"{_NGC}/stylegan2-ffhq-1024x1024.pkl",
        file="stylegan2-ffhq-1024x1024.pkl",
        size=None,
        sha256=None,
        sha256_from=None,
        licence="Nvidia Source Code License-NC: research, no commercial use",
        how=f"this is a pickle, which this project never opens: {_EXPORT}",
    ),
    _biggan(128),
    _biggan(
        256, size=234_411_737, sha256="5900ef4065047e3aa0d1b66197b7f2664dceb59b27080e414ad57e203c485bc5"
    ),
    _biggan(512),
    _backbone("alex", "alexnet", "https://pytorch.org/vision/stable/models/alexnet.html"),
    _backbone("vgg", "vgg16", "https://pytorch.org/vision/stable/models/vgg.html", size=553_433_881),
    Asset(
        name="ffhq",
        purpose="private images of --task ffhq",
        page="https://github.com/NVlabs/ffhq-dataset",
        address=None,
        file="ffhq",
        size=None,
        sha256=None,
        sha256_from=None,
        licence="CC BY-NC-SA 4.0 as a set; single pictures have licences of their own",
        how="ages: https://github.com/DCGM/ffhq-features-dataset; put both in DATA/ffhq and DATA/ffhq/json",
    ),
    Asset(
        name="imagenet",
        purpose="private images of --task imagenet (ILSVRC 2012, validation)",
        page="https://image-net.org/download.php",
        address=None,
        file="imagenet",
        size=None,
        sha256=None,
        sha256_from=None,
        licence="ImageNet's terms of access: research, no commercial use",
        how="ask for access; put the pictures in DATA/imagenet (docs/own-data.md)",
    ),
    Asset(
        name="pacs",
        purpose="private images of other styles, of both tasks",
        page="https://github.com/facebookresearch/DomainBed",
        address=None,
        file="pacs",
        size=None,
        sha256=None,
        sha256_from=None,
        licence="none stated",
        how="put photo, art_painting, cartoon and sketch, with their sub-folders, in DATA",
    ),
)  # fmt: skip
