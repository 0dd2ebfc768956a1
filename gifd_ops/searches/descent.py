"""Adam on whatever a stage has opened: the loop that all searches by gradient share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gifd_ops.quirks import Quirks
from gifd_ops.searches.stopping import progressing
from gifd_ops.stages import Decay

STEPS_BETWEEN_CHECKS = 16  # on a GPU, which has to be waited for; on a CPU rows are looked after at every step


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a stage has opened in its rows, and how it is seen.

    variables: changed in place. look: losses [rows] and images [rows, 3, h, w] of the variables as they are.
    after_update: called after every update. part: the same for some of the rows (their places, int64), with variables
    of their own that begin as these are; None where no row can stop before all do.
    """

    variables: Sequence[Tensor]
    look: Callable[[], tuple[Tensor, Tensor]]
    after_update: Callable[[], None]
    part: Callable[[Tensor], Opened] | None = None


@dataclass(frozen=True, kw_only=True)
class Descent:
    """What became of the rows."""

    trace: Tensor  # [rows, steps], the loss before each update; NaN from where a row stopped
    images: Tensor | None  # [rows, 3, h, w], before a row's last update; None if no row was ever looked at
    steps_taken: Tensor  # [rows] int64, updates until a row stopped: each cost an evaluation
    whole: Tensor  # [rows], whether a row began and all its losses were finite


def descend(
    opened: Opened, *, begin: Tensor, rates: Sequence[Sequence[float]], signed: bool, patience: int = 0
) -> Descent:
    """Update the variables, in place, once per rate, until a row is not finite or makes no progress any more.

    begin: rows [rows] that are searched at all. rates: for all rows, or for each its own; rows that cannot part have
    equally many. A row stops after an update, so it is as a search of fewer steps leaves it. Rows that stopped are left
    out of all further work; the others go on with Adam's memory of them. signed: Adam sees the gradient's signs only.
    patience: of `progressing`.
    """
    by_row = list(rates) * len(begin) if len(rates) == 1 else list(rates)
    ends = torch.tensor([len(own) for own in by_row], device=begin.device)
    last_steps = {len(own) for own in rates}
    log = _Log(begin, num_steps=max(last_steps))
    rows = torch.arange(len(begin), device=begin.device)
    if opened.part is not None or not bool(begin.any()):
        rows = rows[begin]
    part = opened if opened.part is None or len(rows) in (0, len(begin)) else opened.part(rows)
    adam, own_rates = _adam(part.variables), [by_row[row] for row in rows.tolist()]
    between = STEPS_BETWEEN_CHECKS if begin.is_cuda else 1
    for step in range(1, log.num_steps + 1) if len(rows) else ():
        losses, images = _update(part, adam, [own[step - 1] for own in own_rates], signed=signed)
        log.add(rows, step, losses)
        if step % between and step not in last_steps:
            continue
        going = ends[rows] > step
        if step % between == 0:  # not when others end: a row stops where it stops alone
            going &= log.going(rows, step, patience)
        ended = not bool(going.any())
        if not ended and (opened.part is None or bool(going.all())):
            continue
        log.stop(rows, step, images)
        if part is not opened:
            _put_back(opened.variables, part.variables, rows)
        if ended:
            break
        assert opened.part is not None
        rows = rows[going]
        part, before = opened.part(rows), part
        adam = _remembering(adam, before.variables, part.variables, going)
        own_rates = [by_row[row] for row in rows.tolist()]
    return log.descent(like=opened.variables[0])


class _Log:
    """What is known of all rows while some of them descend."""

    def __init__(self, begin: Tensor, *, num_steps: int) -> None:
        self.num_rows, self.num_steps = len(begin), num_steps
        self.steps_taken = torch.zeros_like(begin, dtype=torch.int64)
        self.trace: Tensor | None = None
        self.images: Tensor | None = None

    def add(self, rows: Tensor, step: int, losses: Tensor) -> None:
        """What these rows came to before update `step`, the first of which is 1."""
        if self.trace is None:
            self.trace = losses.new_full((self.num_rows, self.num_steps), torch.nan)
        self.trace[rows, step - 1] = losses

    def going(self, rows: Tensor, step: int, patience: int) -> Tensor:
        """Which of these rows go on after update `step`."""
        assert self.trace is not None
        so_far = self.trace[rows, :step]
        return so_far.isfinite().all(dim=1) & progressing(so_far, patience)

    def stop(self, rows: Tensor, step: int, images: Tensor) -> None:
        """These rows would stop here; those that go on say so again later."""
        if self.images is None:
            self.images = images.new_full((self.num_rows, *images.shape[1:]), torch.nan)
        self.images[rows], self.steps_taken[rows] = images, step

    def descent(self, *, like: Tensor) -> Descent:
        """The end; `like` says of what kind a trace without any loss is."""
        trace = like.new_full((self.num_rows, self.num_steps), torch.nan) if self.trace is None else self.trace
        taken = torch.arange(self.num_steps, device=trace.device) < self.steps_taken[:, None]
        whole = (self.steps_taken > 0) & (trace.isfinite() | ~taken).all(dim=1)
        return Descent(trace=trace, images=self.images, steps_taken=self.steps_taken, whole=whole)


def _update(opened: Opened, adam: torch.optim.Adam, rates: Sequence[float], *, signed: bool) -> tuple[Tensor, Tensor]:
    """One update, each row at its rate; the losses and images before it."""
    losses, images = opened.look()
    gradients = torch.autograd.grad(losses.sum(), opened.variables, allow_unused=True)
    for variable, gradient in zip(opened.variables, gradients, strict=True):
        variable.grad = gradient.sign() if signed and gradient is not None else gradient
    _step(adam, rates)
    opened.after_update()
    return losses.detach(), images.detach()


def _adam(variables: Sequence[Tensor]) -> torch.optim.Adam:
    return torch.optim.Adam(variables, fused=True)


@torch.no_grad()
def _step(adam: torch.optim.Adam, rates: Sequence[float]) -> None:
    """One step of Adam; where rates differ, the step of rate 1, stretched row by row: it depends on slopes alone."""
    (group,) = adam.param_groups
    if len(set(rates)) == 1:
        group["lr"] = rates[0]
        adam.step()
        return
    group["lr"] = 1.0
    begun = [variable.clone() for variable in group["params"]]
    for variable in group["params"]:
        variable.zero_()
    adam.step()
    for variable, before in zip(group["params"], begun, strict=True):
        stretch = torch.tensor(rates, dtype=variable.dtype).to(variable.device, non_blocking=True)
        variable.mul_(stretch.view(-1, *(1,) * (variable.ndim - 1))).add_(before)


def _remembering(
    adam: torch.optim.Adam, before: Sequence[Tensor], after: Sequence[Tensor], kept: Tensor
) -> torch.optim.Adam:
    """Adam on the kept rows [rows] of its variables, with what it remembers of them; its count of steps is common."""
    own = _adam(after)
    for old, new in zip(before, after, strict=True):
        if old in adam.state:
            own.state[new] = {name: each[kept] if each.ndim else each for name, each in adam.state[old].items()}
    return own


@torch.no_grad()
def _put_back(variables: Sequence[Tensor], of_rows: Sequence[Tensor], rows: Tensor) -> None:
    """Write the variables of some rows where they belong."""
    for whole, own in zip(variables, of_rows, strict=True):
        whole[rows] = own


def learning_rates(lr: float, steps: int, decay: Decay, quirks: Quirks) -> list[float]:
    """The learning rate of every update of a stage."""
    if decay == "steps":
        return [lr * tenths(step, steps) for step in range(steps)]
    return [lr * ramp(step, steps, first_step=quirks.first_step) for step in range(steps)]


def ramp(step: int, steps: int, *, first_step: str = "ramped") -> float:
    """Factor of the learning rate at a step: linear warm-up over 5 %, flat to 25 %, cosine decay to the end.

    The published ramp starts at zero and so wastes the first update of every stage (first_step="zero"); the mended
    warm-up counts from one.
    """
    counted = step if first_step == "zero" else step + 1
    warm_up = min(1.0, counted / (0.05 * steps))
    decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - step / steps) / 0.75))
    return warm_up * decay


def tenths(step: int, steps: int) -> float:
    """Factor of the learning rate that falls to a tenth at 3/8, 5/8 and 7/8 of the way (Geiping et al., 2020).

    The milestones are rounded as published; but the first update is whole, however few there are.
    """
    milestones = (steps // 2.667, steps // 1.6, steps // 1.142)
    return float(0.1 ** sum(step >= max(1, milestone) for milestone in milestones))
