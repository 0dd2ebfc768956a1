"""What the machine must have before a study starts: weights, metrics' networks, a cluster that answers. No torch."""

from __future__ import annotations

import hashlib
import json
import socket

from gifd_ops.perceptual_weights import check_backbone, find_backbone, how_to_get
from gifd_ops.tasks import Task
from study.choices import check_name
from study.plan import METRICS

LPIPS_NETWORKS = {"lpips": "alex", "lpips_vgg": "vgg"}  # by metric


def check_metric(name: str, *, gallery: int) -> None:
    """Raise ValueError if a metric is not known, or cannot be computed here."""
    check_name("metric", name, METRICS)
    if name == "identified" and gallery < 2:
        raise ValueError(f"--metric identified needs a --gallery of 2 images or more, got {gallery}")
    net = LPIPS_NETWORKS.get(name)
    if net is not None and find_backbone(net) is None:
        raise ValueError(
            f"--metric {name} needs the weights of its network, which are not on this machine; {how_to_get(net)}"
        )


def check_checkpoint(task: Task) -> str:
    """The sha256 of the task's generator weights; ValueError if they are not those of the manifest."""
    if not task.checkpoint.exists():
        raise ValueError(f"the weights {task.checkpoint.name} are missing; reinstall the project or restore the file")
    found = hashlib.sha256(task.checkpoint.read_bytes()).hexdigest()
    expected = json.loads(task.checkpoint.with_suffix(".json").read_text())["sha256"]
    if found != expected:
        raise ValueError(
            f"the weights {task.checkpoint.name} have been altered: sha256 should be {expected}, got {found}; "
            "restore the file (git checkout) or reinstall the project"
        )
    return found


def check_address(address: str) -> None:
    """Raise ValueError if nothing answers at a Ray cluster's address (Ray itself would try for minutes)."""
    if address in ("auto", "local"):
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(
            f"--address takes HOST:PORT of a Ray head, or auto, got {address!r}; for a cluster elsewhere, run the "
            "command on one of its nodes"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error}); start one there (ray start --head), or leave out "
            "--address and unset RAY_ADDRESS to run on this machine"
        ) from None


def check_networks() -> None:
    """Raise ValueError if a metric's network is on this machine, but not as published (altered, or cut short)."""
    for net in LPIPS_NETWORKS.values():
        path = find_backbone(net)
        if path is not None:
            check_backbone(path, net)


def missing_metrics() -> tuple[str, ...]:
    """The metrics that stay empty on this machine, for want of their networks' weights."""
    return tuple(name for name, net in LPIPS_NETWORKS.items() if find_backbone(net) is None)
