"""Targets in passes that fit into memory. A target is the same whatever runs beside it, so how many do is free."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Hashable

import torch

from gifd_ops.result import AttackResult, join_results

USED_SHARE = 0.9  # of the free memory of a GPU: it fragments, and others may use it too

Attack = Callable[[range], AttackResult]

_PEAKS: dict[tuple[torch.device, Hashable], tuple[int, int]] = {}  # bytes of one row and of two, by kind of work


class OutOfMemoryError(RuntimeError):
    """A single target does not fit into memory: trying again on the same machine will not help."""


def run_in_passes(attack: Attack, *, num_targets: int, at_once: int, device: torch.device) -> AttackResult:
    """Attack targets 0 to `num_targets` (excluded), `at_once` of them together, fewer where memory runs out.

    A pass that runs out of memory is halved and run again. Raises OutOfMemoryError where one target is too many.
    """
    parts: list[AttackResult] = []
    begun = 0
    while begun < num_targets:
        targets = range(begun, min(begun + at_once, num_targets))
        try:
            parts.append(attack(targets))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(targets) == 1:
                raise OutOfMemoryError(_too_large(error, device)) from error
            at_once = len(targets) // 2
        else:
            begun = targets.stop
            continue
        _release(device)  # not before the error is gone: it holds on to what the pass had made
    return parts[0] if len(parts) == 1 else join_results(parts)


def targets_at_once(
    probe: Callable[[int], object], *, work: Hashable, num_targets: int, restarts: int, device: torch.device
) -> int:
    """How many targets of `restarts` rows fit into the free memory of a GPU; on a CPU all are tried.

    probe: takes a step of 1 or 2 rows; what a row adds is the difference of their peaks. They are measured once for
    each kind of `work` in a process.
    """
    if device.type != "cuda" or num_targets == 1:
        return num_targets
    if (device, work) not in _PEAKS:
        try:
            _PEAKS[device, work] = _peak_bytes(lambda: probe(1), device), _peak_bytes(lambda: probe(2), device)
        except torch.cuda.OutOfMemoryError:
            return 1
        _release(device)
    one, two = _PEAKS[device, work]
    free, _ = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by torch, free for its use
    return fitting_targets(one, two, free_bytes=free + idle, restarts=restarts, num_targets=num_targets)


def fitting_targets(one_row: int, two_rows: int, *, free_bytes: int, restarts: int, num_targets: int) -> int:
    """Targets that fit, 1 or more, by the peaks of one row and of two in bytes."""
    row = max(1, two_rows - one_row)
    beside = max(0, one_row - row)  # what is needed once, however many rows there are
    rows = (int(USED_SHARE * free_bytes) - beside) // row
    return max(1, min(num_targets, rows // restarts))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator, of a GPU or of the CPU, could not give what was asked for."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)  # it has no class of its own


def _peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most that a computation holds at a time, beside what is held already."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def _release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _too_large(error: BaseException, device: torch.device) -> str:
    """What one target needs, what there is, and what to do."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
    else:
        page = os.sysconf("SC_PAGE_SIZE")
        free, total = (page * os.sysconf(name) for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    asked = (str(error).splitlines() or ["more than there is"])[0]
    return (
        f"one target needs more memory than there is: {device} has {free / 2**30:.1f} of {total / 2**30:.1f} GiB free "
        f"({asked}); lower restarts, attack a smaller victim, or give a worker more memory"
    )
