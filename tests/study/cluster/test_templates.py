"""Filled templates are what the tools that read them accept."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from study.cluster.command import main
from study.cluster.templates import TEMPLATES, fill

SCHEMA = json.loads((Path(__file__).parent / "rayjob-v1.schema.json").read_text())


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_filled_template_has_no_mark_left(kind: str) -> None:
    assert "@{" not in fill(kind, gpus=16)


def test_gpus_are_spread_evenly_over_nodes() -> None:
    assert "--nodes=25\n" in fill("slurm", gpus=200)
    assert "--gpus-per-node=8\n" in fill("slurm", gpus=200)
    assert "--nodes=2\n" in fill("slurm", gpus=10)


def test_the_slurm_script_is_shell() -> None:
    script = fill("slurm", gpus=16)
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", "-s", "bash", "-"], input=script, text=True).returncode == 0


def test_kubernetes_takes_the_job() -> None:
    job = yaml.safe_load(fill("kuberay", gpus=16))
    jsonschema.validate(job, SCHEMA)
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(job, SCHEMA)


def test_ray_takes_the_machines() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    machines = yaml.safe_load(fill("vm", gpus=16))
    validate_config(prepare_config(copy.deepcopy(machines)))
    assert len(machines["provider"]["worker_ips"]) == 2


def test_the_image_does_not_run_as_root() -> None:
    users = [line.split()[1] for line in fill("docker", gpus=1).splitlines() if line.startswith("USER ")]
    assert users[-1] == "ray"


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "study.sbatch"
    assert main(["template", "slurm", "--output", str(path)]) == 0
    path.write_text("mine")
    assert main(["template", "slurm", "--output", str(path)]) == 2
    assert path.read_text() == "mine"


def test_no_gpu_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["template", "slurm", "--gpus", "0"]) == 2
    assert "--gpus must be 1 or more" in capsys.readouterr().err
