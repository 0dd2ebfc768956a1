"""Who may import whom. The table is docs/architecture.md's; a broken rule names the file and the import."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gifd_ops", "search_spaces", "study", "analysis")
STDLIB = sys.stdlib_module_names

# Modules of ours that a package may import beside its own, and the frameworks it may use.
OURS = {
    "gifd_ops": (),
    "search_spaces": ("gifd_ops.config", "gifd_ops.defenses.config", "gifd_ops.stages"),
    "study": ("gifd_ops", "search_spaces"),
    "analysis": ("study.schema",),
}
FRAMEWORKS = {
    "gifd_ops": {"torch", "torchvision", "lpips", "numpy", "PIL", "safetensors", "cmaes", "scipy"},
    "search_spaces": set(),
    "study": {"pyarrow", "rich", "ray", "optuna", "torch", "PIL", "numpy", "scipy", "tensorboard"},
    "analysis": {"pandas", "numpy", "scipy", "matplotlib", "optuna", "pyarrow", "PIL", "sklearn", "jinja2"},
}
# The only files of `study` that may import a framework, and the files of `gifd_ops` that must do without any.
ONLY_IN = {
    "scipy": {"study/search/samplers/quasi_random.py"},
    "tensorboard": {"study/watch/event_files.py"},
    "ray": {f"study/farm/{name}.py" for name in ("farm", "schedulers", "worker")} | {"study/cluster/client.py"},
    "optuna": {f"study/search/{name}.py" for name in ("search", "asking", "clerk", "journal")}
    | {f"study/search/samplers/{name}.py" for name in ("registry", "genetic", "quasi_random", "window")}
    | {"study/replay/proposers.py", "study/upkeep/told.py"},
    "numpy": {"study/search/racing.py"}
    | {f"study/replay/{name}.py" for name in ("curves", "pool", "proposers", "walk")},
    "torch": {"study/bench.py", "study/scores.py", "study/trial.py", "study/farm/worker.py", "study/profile.py"}
    | {"study/placing.py", "study/rehearsal.py"}
    | {"study/upkeep/rescore.py"}
    | {f"study/task/{name}.py" for name in ("own", "trial_run")},
}
PLAIN = {
    f"gifd_ops/{name}.py"
    for name in ("config", "stages", "quirks", "tasks", "seeds", "perceptual_weights", "protocols")
}
PLAIN |= {"gifd_ops/victim_states.py", "gifd_ops/defenses/config.py", "gifd_ops/defenses/privacy.py"}
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py"}


def imports_of(path: Path, source: str | None = None) -> list[tuple[str, bool]]:
    """Absolute names of all imported modules of a file, and whether the import runs when the module is imported."""
    relative = path.relative_to(ROOT)
    package = ".".join(relative.parent.parts)
    tree = ast.parse(source if source is not None else path.read_text())
    lazy = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef) or _is_type_checking(block)
        for node in ast.walk(block)
    }
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((alias.name, node not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]) if base else ".".join(parents)
            found.append((base, node not in lazy))
            found.extend(
                (f"{base}.{alias.name}", node not in lazy) for alias in node.names if _is_module(base, alias.name)
            )
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_module(base: str, name: str) -> bool:
    folder = ROOT.joinpath(*base.split("."))
    return (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()


def violations(path: Path, source: str | None = None) -> list[str]:
    """Rules that a file breaks, one sentence each."""
    relative = path.relative_to(ROOT).as_posix()
    package = relative.split("/")[0]
    broken = []
    for name, _at_import in imports_of(path, source):
        top = name.split(".")[0]
        if top in STDLIB or top == package:
            continue
        if top in PACKAGES:
            if not any(name == allowed or name.startswith(allowed + ".") for allowed in OURS[package]):
                # `from study import schema` also names the package itself: judged by the module it brings
                brings = [other for other, _ in imports_of(path, source) if other.startswith(name + ".")]
                if not brings:
                    broken.append(f"{relative} may not import {name}")
        elif top not in FRAMEWORKS[package]:
            broken.append(f"{relative} may not import {name}")
        elif package == "study" and top in ONLY_IN and relative not in ONLY_IN[top]:
            broken.append(f"{relative} may not import {name}: only {', '.join(sorted(ONLY_IN[top]))} may")
        elif relative in PLAIN:
            broken.append(f"{relative} is standard library only, but imports {name}")
    return broken


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_follow_the_table(path: Path) -> None:
    assert violations(path) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("gifd_ops/attack.py", "from study.plan import StudyPlan"),
        ("gifd_ops/attack.py", "import ray"),
        ("gifd_ops/generators/stylegan2.py", "from ...study import plan"),
        ("gifd_ops/config.py", "import torch"),
        ("search_spaces/ood.py", "from gifd_ops.attack import run_attack"),
        ("search_spaces/ood.py", "import optuna"),
        ("study/search/search.py", "import ray"),
        ("study/ledger.py", "from optuna import Trial"),
        ("study/plan.py", "import torch"),
        ("study/trial.py", "from analysis.load import load_results"),
        ("analysis/load.py", "from study import plan"),
        ("analysis/load.py", "from ..study.ledger import Ledger"),
        ("analysis/load.py", "import torch"),
    ],
)
def test_a_broken_rule_is_noticed(file: str, line: str) -> None:
    assert violations(ROOT / file, line)


@pytest.mark.parametrize("line", ["from study.schema import TRIALS", "from study import schema", "import pandas"])
def test_what_is_allowed_passes(line: str) -> None:
    assert violations(ROOT / "analysis/load.py", line) == []


def test_package_roots_import_nothing() -> None:
    for package in PACKAGES:
        assert imports_of(ROOT / package / "__init__.py") == []


def test_the_driver_reads_a_command_without_torch_ray_or_optuna() -> None:
    import subprocess

    code = (
        "import sys; from study.launch import main; main(['--space', 'ood', '--dry-run']);"
        "assert not {'torch', 'ray', 'optuna'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_file_is_named_for_having_no_idea() -> None:
    assert [path for path in sources() if path.name in FORBIDDEN_NAMES] == []
