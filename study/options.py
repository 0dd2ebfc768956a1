"""The command line of `study.launch`, checked and turned into a plan before anything starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from gifd_ops.tasks import TASKS, VICTIM_LAYERS
from search_spaces.recipes import RECIPES
from search_spaces.registry import METHODS, SPACES, get_space
from study.checks import check_address, check_checkpoint, check_metric, check_networks
from study.choices import check_name
from study.conditions import CONTROLS, LABELS
from study.evaluation.protocol import Protocol, read_protocol
from study.option_values import order_pictures, read_domains, read_fixed, read_layers, read_quirks
from study.parser import build_parser
from study.plan import OBJECTIVES, RACING, SAMPLERS, Points, StudyPlan, faced
from study.rehearsal import check_sharing
from study.schema import TABLES
from study.search.objectives import check_objective
from study.search.warm_start import earlier_study, kept_points, read_point, warm_points
from study.sharing_options import read_sharing
from study.task.choose import choose_task, narrow
from study.task.content import TaskContent, task_of
from study.task.definition import Definition
from study.task.inputs import Inputs
from study.task.prepare import prepare
from study.versions import check_version
from study.watch.event_files import check_tensorboard

MOST_TARGETS = 256
MOST_GALLERY = 10_000
MOST_CONFIGS_PER_TRIAL = 64


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A checked command line: the plan, and how to run it."""

    plan: StudyPlan
    trials: int
    results: Path
    max_concurrent: int | None
    address: str | None
    pictures_folder: Path | None
    protocol: Protocol  # what is run after the search
    block_timeout: float | None  # seconds; None: by what blocks take
    notes: tuple[str, ...]  # what a person should know before it starts
    tensorboard: bool  # whether event files are written
    dry_run: bool
    inputs: Inputs | None = None  # of a task that is not built in: where its files lie

    def place_inputs(self, folder: Path) -> Launch:
        """The launch whose workers find the task's files, by a hidden file in a folder."""
        return self if self.inputs is None else replace(self, pictures_folder=self.inputs.save(folder))


def read_options(arguments: list[str] | None) -> Launch:
    """The checked command line, what clients share rehearsed. Raises ValueError: rule, value, remedy."""
    launch = read_unrehearsed(arguments)
    check_sharing([launch])
    return launch


def read_unrehearsed(arguments: list[str] | None) -> Launch:
    """The checked command line, but for what only a victim can tell. Raises ValueError: rule, value, remedy."""
    options, definition = _read_task(arguments)
    check_name("search space", options.space, SPACES)
    check_name("method", options.method, METHODS)
    if options.recipe is not None:
        check_name("recipe", options.recipe, RECIPES)
    if definition is None:
        options.victim = check_name("victim", options.victim or "lenet", TASKS[options.task].victims)
    metrics = [name.strip() for name in options.metric.split(",")]
    for name in metrics:
        check_metric(name, gallery=options.gallery)
    check_objective(check_name("objective", options.objective, OBJECTIVES), metrics)
    check_name("sampler", options.sampler, SAMPLERS)
    if not options.dry_run:
        check_networks()
    if options.tensorboard:
        check_tensorboard()
    check_name("control", options.control, CONTROLS)
    check_name("way of labels", options.labels, LABELS)
    _check_counts(options)
    _check_racing(options)
    sharing = read_sharing(options)
    if not 0 <= options.random_share <= 1:
        raise ValueError(f"--random-share must be 0 to 1, got {options.random_share}")
    if options.objective == "both" and options.trials < 2:
        raise ValueError(f"--objective both needs --trials of 2 or more, got {options.trials}: the searches take turns")
    own, inputs = (None, None) if definition is None else _prepare(definition, options)
    task = TASKS[options.task] if own is None else task_of(own)
    quirks = read_quirks(options.compat, options.quirk)
    space = get_space(options.space, options.method, recipe=options.recipe or task.recipe, faced=faced(sharing, quirks))
    space.published(task.generator_shape, budget=options.budget)  # raises if the budget is too small
    ranges = space.ranges(task.generator_shape, budget=options.budget)
    fixed = read_fixed(options.set, ranges)
    folder: Path | None = options.images
    pictures = None if folder is None else order_pictures(folder, task, seed=options.seed)
    plan = StudyPlan(
        space=space.name,
        method=space.method,
        task=task.name,
        victim=options.victim if own is None else own.victim,
        control=options.control,
        labels=options.labels,
        quirks=quirks,
        matched_layers=read_layers(
            options.match_layers, num_layers=own.victim_layers if own else VICTIM_LAYERS[options.victim]
        ),
        patience=options.patience,
        gallery=options.gallery,
        authors_ranges=options.authors_ranges,
        metric=metrics[0],
        other_metrics=tuple(metrics[1:]),
        objective=options.objective,
        sampler=options.sampler,
        random_share=options.random_share,
        points=(),
        warm_start=None,
        budget=options.budget,
        seed=options.seed,
        domains=read_domains(options.domains, space.domains, task, user=pictures is not None),
        targets_per_domain=options.targets_per_domain,
        test_targets_per_domain=options.test_targets_per_domain,
        fixed=tuple(sorted(fixed.items())),
        parameters=tuple((name, ranges[name]) for name in sorted(ranges)),
        checkpoint_sha256=check_checkpoint(task) if own is None else own.checkpoint_sha256,
        keep_targets=options.keep_targets or (pictures is None and own is None),
        pictures=pictures,
        racing=check_name("racing", options.racing, RACING),
        racing_error=options.racing_error,
        configs_per_trial=options.configs_per_trial,
        recipe=options.recipe,
        own_task=own,
        sharing=sharing,
    )
    _check_batches(plan)
    _check_fuses(plan)
    protocol = read_protocol(options, plan)
    results: Path = options.results or Path("results") / _results_name(plan)
    if results.exists() and not results.is_dir():
        raise ValueError(f"--results needs a folder; {results} is a file")
    if (results / "plan.json").exists():
        check_version(results)
    points, warm_start, notes = _read_points(options, plan, results)
    plan = replace(plan, points=points, warm_start=warm_start)
    plan.check_continues(results)
    if options.address and not options.dry_run:
        check_address(options.address)
    if not (results / "plan.json").exists() and results.is_dir() and _holds_strange_files(results):
        raise ValueError(f"{results} holds files but no plan.json, so it is no study; choose another --results")
    return Launch(
        plan=plan,
        trials=options.trials,
        results=results,
        max_concurrent=options.max_concurrent,
        address=options.address or None,
        pictures_folder=folder,
        inputs=inputs,
        protocol=protocol,
        block_timeout=options.block_timeout,
        notes=notes,
        tensorboard=options.tensorboard,
        dry_run=options.dry_run,
    )


def _read_task(arguments: list[str] | None) -> tuple[argparse.Namespace, Definition | None]:
    """The options, and the task they describe if it is not a built-in one, whose file may set defaults of options."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    definition = choose_task(options)
    if definition is not None and definition.defaults:
        parser.set_defaults(**definition.defaults)
        options = parser.parse_args(arguments)
    return options, definition


def _prepare(definition: Definition, options: argparse.Namespace) -> tuple[TaskContent, Inputs]:
    """Content and inputs of a task, of the domains that are asked for."""
    if options.images is not None:
        raise ValueError(f"--images attacks pictures with a built-in task; --task {options.task} names its own folders")
    return prepare(
        narrow(definition, victim=options.victim, domains=options.domains),
        seed=options.seed,
        tune=options.targets_per_domain,
        test=options.test_targets_per_domain,
        gallery=options.gallery,
    )


def _read_points(
    options: argparse.Namespace, plan: StudyPlan, results: Path
) -> tuple[Points, str | None, tuple[str, ...]]:
    """The points to try first, what names the earlier study that some are from, and what is to be said of them."""
    own = tuple(("user", tuple(sorted(read_point(path, plan).items()))) for path in options.point)
    if options.warm_start is None:
        return own, None, ()
    warm_start = earlier_study(options.warm_start)
    kept = kept_points(results, warm_start)  # a study that goes on keeps to them: the earlier one may have grown
    points, notes = (kept, ()) if kept is not None else warm_points(options.warm_start, plan)
    return own + points, warm_start, notes


def _results_name(plan: StudyPlan) -> str:
    """The default folder: the space, and what is not the default beside it."""
    beside = (
        [plan.task] * (plan.own_task is not None)
        + [plan.method] * (plan.method != "gifd")
        + [plan.control] * (plan.control != "none")
        + plan.sharing.differences
    )
    return "-".join([plan.space, *beside])


def _holds_strange_files(results: Path) -> bool:
    """Whether a folder holds more than what a study killed in its first second leaves."""
    strange = (path for path in results.iterdir() if path.name not in {*TABLES, ".lock", ".plan.json.partial"})
    return next(strange, None) is not None or any(next((results / t).glob("*"), None) for t in TABLES)


def _check_counts(options: argparse.Namespace) -> None:
    for name, least, most in (
        ("trials", 1, None),
        ("budget", 2, None),
        ("seed", 0, None),
        ("targets_per_domain", 1, MOST_TARGETS),
        ("test_targets_per_domain", 1, MOST_TARGETS),
        ("patience", 0, None),
        ("gallery", 0, MOST_GALLERY),
        ("configs_per_trial", 1, MOST_CONFIGS_PER_TRIAL),
        ("max_concurrent", 1, None),
    ):
        value = getattr(options, name)
        if value is not None and (value < least or (most is not None and value > most)):
            allowed = f"{least} or more" if most is None else f"{least} to {most}"
            raise ValueError(f"--{name.replace('_', '-')} must be {allowed}, got {value}")


def _check_racing(options: argparse.Namespace) -> None:
    if not 0 < options.racing_error <= 0.5:
        raise ValueError(f"--racing-error must be above 0 and at most 0.5, got {options.racing_error}")
    if options.racing != "off" and (options.objective == "both" or "," in options.metric):
        raise ValueError(
            f"--racing {options.racing} needs one objective and one metric to say which trials cannot win, got "
            f"--objective {options.objective} --metric {options.metric}; leave out --racing, or choose one of each"
        )
    if options.racing != "off" and options.configs_per_trial > 1:
        raise ValueError(
            f"--racing {options.racing} stops single configs, and --configs-per-trial {options.configs_per_trial} runs "
            "several as one; leave one of them out"
        )
    if options.block_timeout is not None and options.block_timeout < 1:
        raise ValueError(f"--block-timeout must be 1 second or more, got {options.block_timeout}")


def _check_batches(plan: StudyPlan) -> None:
    """Raise ValueError where a person's own pictures make no whole batch to tune on, or to test on."""
    batch_size = plan.sharing.batch_size
    if plan.pictures is not None and not (plan.targets_of("search") and plan.targets_of("test")):
        raise ValueError(
            f"--batch-size {batch_size} needs {2 * batch_size} pictures or more, to tune and to test on whole batches; "
            f"--images has {len(plan.pictures)}: add some, or use a smaller batch"
        )


def _check_fuses(plan: StudyPlan) -> None:
    """Raise ValueError where several configs are to run as one computation, and those of the method cannot."""
    if plan.configs_per_trial == 1:
        return
    shape = plan.task_info.generator_shape
    point = plan.search_space.point(dict(plan.fixed), shape, budget=plan.budget)
    if plan.configure(point, origin="search").fuse_key is None:
        raise ValueError(
            f"--configs-per-trial {plan.configs_per_trial} needs configs that can run as one computation, and those of "
            f"--method {plan.method} with these options cannot; leave it out"
        )
