"""Other attacks, tuned alike: a study each, in a folder of its own beside the results of the first."""

from __future__ import annotations

from dataclasses import replace

from study.evaluation.protocol import protocol_of_others
from study.options import Launch
from study.plan import StudyPlan

FOLDER = "methods"


def method_launches(launch: Launch) -> list[Launch]:
    """The studies of the protocol's other attacks: same targets, victims, budget and number of trials.

    Each chooses and controls its finalists as the first does. Raises ValueError where an attack cannot be run at the
    plan's budget, or its folder holds another plan.
    """
    launches = []
    for method in launch.protocol.methods:
        results = launch.results / FOLDER / method
        plan = plan_of_method(launch.plan, method)
        plan.check_continues(results)
        protocol = protocol_of_others(launch.protocol)
        launches.append(replace(launch, plan=plan, results=results, protocol=protocol, notes=(), tensorboard=False))
    return launches


def plan_of_method(plan: StudyPlan, method: str) -> StudyPlan:
    """A plan for another attack: all that is held fixed stays, what only the first attack knows goes."""
    other = replace(plan, method=method, points=(), warm_start=None, configs_per_trial=1)
    space, shape = other.search_space, plan.task_info.generator_shape
    space.published(shape, budget=plan.budget)  # raises where the budget is too small
    ranges = space.ranges(shape, budget=plan.budget)
    fixed = tuple((name, value) for name, value in plan.fixed if name in ranges and value in ranges[name])
    parameters = tuple((name, ranges[name]) for name in sorted(ranges))
    return replace(other, fixed=fixed, parameters=parameters)
