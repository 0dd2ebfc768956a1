"""What a study is: everything that decides its numbers, frozen, hashed and saved. How it runs is not part of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gifd_ops.config import AttackConfig
from gifd_ops.quirks import Quirks
from gifd_ops.tasks import TASKS, Task
from search_spaces.base import Range, Space
from search_spaces.reach import Faced
from search_spaces.registry import get_space
from study.schema import SCHEMA_VERSION
from study.sharing import PLAIN, Sharing
from study.task.content import TaskContent, task_of

ORACLES = {  # metrics that need the private image: they say how much leaked
    "psnr_db": "maximize",
    "ssim": "maximize",
    "mse": "minimize",
    "lpips": "minimize",
    "lpips_vgg": "minimize",
    "identified": "maximize",  # share of targets that are the nearest of their gallery
}
METRICS = ORACLES | {  # and what an attacker sees too
    "matching_loss": "minimize",
    "gradient_evaluations": "minimize",
    "seconds": "minimize",
}
OBJECTIVES = ("oracle", "observable", "both")
SAMPLERS = ("auto", "tpe", "nsga3", "qmc", "random")
Points = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]  # (origin, parameters) of each
RACING = ("off", "on", "asha", "median")
BLOCK_TARGETS = 8  # rows of one restart that a block fuses, about
REUSE_UNDER = 8  # with fewer pictures than this the test uses the tuning pictures again


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study, held fixed. Two runs with equal plans continue one another."""

    space: str
    method: str
    task: str
    victim: str
    control: str  # what stands in for the gradient or the generator; none: the attack itself
    labels: str  # inferred or given
    quirks: Quirks
    matched_layers: tuple[int, int] | None  # of the victim, first and end; None: all
    patience: int  # steps without progress after which a restart stops its stage; 0: never
    metric: str  # the leakage that is reported and that the oracle objective maximizes
    other_metrics: tuple[str, ...]  # searched for together with it: a Pareto front
    objective: str  # oracle, observable, or both: who steers
    sampler: str
    random_share: float  # of the trials after the beginning
    points: Points  # what the search tries after the published recipe: a person's own, and an earlier study's
    warm_start: str | None  # the earlier study, by the sha256 of its plan
    gallery: int  # images among which the private one is looked for, itself included; 0: it is not
    authors_ranges: bool  # SSIM and LPIPS also as the authors' code computed them
    budget: int  # gradient evaluations per target, the same for every config
    seed: int
    domains: tuple[str, ...]
    targets_per_domain: int
    test_targets_per_domain: int
    fixed: tuple[tuple[str, float], ...]  # parameters that --set froze
    parameters: tuple[tuple[str, Range], ...]  # all that the space could ask for when the study began
    checkpoint_sha256: str
    keep_targets: bool
    pictures: tuple[str, ...] | None  # sha256 of a person's own pictures, in the order they are used
    racing: str = "off"  # whether, and by which rule, trials are stopped before their last block
    racing_error: float = 0.10  # chance of stopping a config as good as the best one
    configs_per_trial: int = 1  # of one schedule, that are asked together and run as one computation
    recipe: str | None = None  # what of GIFD is called published; None: the task's
    own_task: TaskContent | None = None  # a task that is not built in, by its content
    sharing: Sharing = PLAIN  # defense and answer, batches, local training, the victim's mode and state
    schema_version: int = SCHEMA_VERSION

    @property
    def task_info(self) -> Task:
        return TASKS[self.task] if self.own_task is None else task_of(self.own_task)

    @property
    def search_space(self) -> Space:
        return get_space(
            self.space, self.method, recipe=self.recipe or self.task_info.recipe, faced=faced(self.sharing, self.quirks)
        )

    @property
    def steered_domains(self) -> tuple[str, ...]:
        """Domains whose improvement the search maximizes: those out of distribution in a space meant for them."""
        outside = tuple(d for d in self.domains if d not in self.task_info.in_distribution)
        return outside or self.domains

    @property
    def digest(self) -> str:
        """Sixteen hex digits that name the plan."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def block_targets_per_domain(self) -> int:
        batch = self.sharing.batch_size  # a client's images are attacked together
        return batch * max(1, BLOCK_TARGETS // (len(self.domains) * batch))

    def num_blocks(self, phase: str) -> int:
        """Blocks of a trial in a phase."""
        return -(-self.targets_of(phase) // self.block_targets_per_domain)

    def targets_of(self, phase: str) -> int:
        """Targets per domain in a phase. A person's pictures may be too few to choose among finalists: then 0."""
        if self.pictures is not None:
            return len(self.picture_split(split_of(phase)))
        return self.test_targets_per_domain if split_of(phase) == "test" else self.targets_per_domain

    def picture_split(self, split: str) -> tuple[str, ...]:
        """The pictures of a split: disjoint ones, unless there are too few."""
        assert self.pictures is not None
        if self.reuses_pictures:
            return () if split == "select" else self._whole_batches(self.pictures)
        tune = len(self._whole_batches(self.pictures[: min(self.targets_per_domain, len(self.pictures) // 2)]))
        test = tune + self.test_targets_per_domain
        bounds = {"tune": (0, tune), "test": (tune, test), "select": (test, test + self.targets_per_domain)}
        first, end = bounds[split]
        return self._whole_batches(self.pictures[first:end])

    def _whole_batches(self, pictures: tuple[str, ...]) -> tuple[str, ...]:
        return pictures[: len(pictures) - len(pictures) % self.sharing.batch_size]

    @property
    def reuses_pictures(self) -> bool:
        """Whether the test attacks the tuning pictures again, with fresh victims and seeds."""
        return self.pictures is not None and len(self.pictures) < REUSE_UNDER

    def configure(self, params: Mapping[str, float], *, origin: str) -> AttackConfig:
        """The attack of a trial, its answer to a defense included: the recipe, or what the space makes of params."""
        space, shape = self.search_space, self.task_info.generator_shape
        if origin == "published":
            chosen = replace(space.published(shape, budget=self.budget), answer=self.sharing.full_answer)
        else:
            chosen = space.configure(params, shape, budget=self.budget)
        return replace(chosen, quirks=self.quirks, matched_layers=self.matched_layers, patience=self.patience)

    def control_of(self, phase: str) -> str:
        """The control that a phase runs under."""
        return phase.removeprefix("test_") if phase.startswith("test_") else self.control

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `steered_domains` beside them for readers of the results."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values | {"steered_domains": list(self.steered_domains)}

    def to_json(self) -> str:
        """The plan as one line, for workers."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> StudyPlan:
        """The plan that `to_json` wrote."""
        values = json.loads(text)
        values["quirks"] = Quirks(**values["quirks"])
        matched = values["matched_layers"]
        values["matched_layers"] = None if matched is None else tuple(matched)
        values["fixed"] = tuple((name, value) for name, value in values["fixed"])
        values["parameters"] = tuple((name, Range.from_dict(entry)) for name, entry in values["parameters"])
        values["other_metrics"] = tuple(values["other_metrics"])
        values["points"] = read_points(values["points"])
        values["domains"] = tuple(values["domains"])
        values["pictures"] = None if values["pictures"] is None else tuple(values["pictures"])
        if (own := values.get("own_task")) is not None:
            values["own_task"] = TaskContent.from_dict(own)
        if (sharing := values.get("sharing")) is not None:
            values["sharing"] = Sharing.from_dict(sharing)
        return cls(**values)

    def save(self, results: Path) -> None:
        """Write `plan.json`, whole or not at all."""
        partial = results / ".plan.json.partial"
        partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        os.replace(partial, results / "plan.json")

    def check_continues(self, results: Path) -> None:
        """Raise ValueError, naming the fields, if the folder holds another plan."""
        path = results / "plan.json"
        if not path.exists():
            return
        try:
            there = json.loads(path.read_text())
            if not isinstance(there, dict):
                raise ValueError("it holds no plan")
        except ValueError as error:
            raise ValueError(f"{path} cannot be read ({error}); restore it or choose another --results") from error
        here = self.to_dict()
        there = {"sharing": json.loads(json.dumps(asdict(PLAIN)))} | there  # of plans from before there was any
        differ = [(field.name, there.get(field.name), here[field.name]) for field in fields(self)]
        differ = [entry for entry in differ if entry[1] != entry[2]]
        if differ:
            shown = "; ".join(
                f"{name}: {_short(old)} there, {_short(new)} here"
                for entry in differ
                for name, old, new in _parts(*entry)
            )
            raise ValueError(
                f"{results} holds another plan ({shown}); choose another --results, or give the options it was begun "
                "with to continue it"
            )


def faced(sharing: Sharing, quirks: Quirks) -> Faced:
    """What the attacker is faced with, as far as a space lets anything be chosen in view of it."""
    return Faced(
        answer=sharing.full_answer,
        local_steps=sharing.protocol.local_steps,
        restarts_alone=quirks.share_restart_noises,
    )


def read_points(entries: Sequence[Any]) -> Points:
    """The points of a plan, from their JSON."""
    return tuple((origin, tuple((name, float(value)) for name, value in params)) for origin, params in entries)


def control_phase(control: str) -> str:
    """The phase in which finalists are run on the test targets under a control."""
    return f"test_{control}"


def split_of(phase: str) -> str:
    """The split whose targets a phase attacks: `test`, its controls and the steps of an ablation share theirs."""
    return {"search": "tune", "ablation_order": "tune", "select": "select"}.get(phase, "test")


def _parts(name: str, there: Any, here: Any) -> list[tuple[str, Any, Any]]:
    """A difference, or those of its entries where both sides have such."""
    if not isinstance(there, dict) or not isinstance(here, dict):
        return [(name, there, here)]
    keys = [key for key in here if there.get(key) != here[key]]
    return [(f"{name}.{key}", there.get(key), here[key]) for key in keys]


def _short(value: object) -> str:
    text = json.dumps(value).strip('"')
    return text if len(text) <= 60 else text[:57] + "..."
