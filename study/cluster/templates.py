"""Templates of clusters, filled for a number of GPUs."""

from __future__ import annotations

import sys
from importlib import metadata, resources
from string import Template

TEMPLATES = {
    "slurm": "slurm.sbatch",
    "kuberay": "kuberay-job.yaml",
    "vm": "ray-cluster.yaml",
    "docker": "Dockerfile",
}
GPUS_PER_NODE = 8


class _Marked(Template):
    delimiter = "@"  # a shell's and Docker's own $ stay as they are
    pattern = r"@(?:(?P<escaped>@)|\{(?P<braced>[a-z_]+)\}|(?P<named>(?!))|(?P<invalid>(?!)))"  # type: ignore[assignment]  # Template compiles it


def fill(kind: str, *, gpus: int) -> str:
    """The text of a template. gpus: of the whole cluster; nodes have up to 8, all equally many."""
    if gpus < 1:
        raise ValueError(f"--gpus must be 1 or more, got {gpus}; without a GPU no cluster is needed: study.launch")
    each = max(count for count in range(1, GPUS_PER_NODE + 1) if gpus % count == 0)
    text = resources.files("study.cluster").joinpath(TEMPLATES[kind]).read_text()
    return _Marked(text).substitute(
        gpus_per_node=each,
        nodes=gpus // each,
        cpus_per_node=4 * each,
        memory_gb=16 * each,
        worker_ips=", ".join(f"10.0.0.{2 + number}" for number in range(gpus // each)),
        ray=metadata.version("ray"),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
    )
