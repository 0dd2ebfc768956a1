"""Work in passes that fit into memory. A target is the same whatever runs beside it, so how many do is free."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

USED_SHARE = 0.9  # of the free memory of a GPU: it fragments, and others may use it too

Result = TypeVar("Result")

_PEAKS: dict[tuple[torch.device, Hashable], tuple[int, int]] = {}  # bytes of one row and of two, by kind of work


class OutOfMemoryError(RuntimeError):
    """A single target does not fit into memory: trying again on the same machine will not help."""


def run_in_passes(attack: Callable[[range], Result], *, count: int, at_once: int, device: torch.device) -> list[Result]:
    """What attacks of places 0 to `count` (excluded) come to, pass by pass, `at_once` together where memory allows.

    Places are targets, or configs on all of them. A pass that runs out of memory is halved and run again. Raises
    OutOfMemoryError where one is too many.
    """
    parts: list[Result] = []
    begun = 0
    while begun < count:
        places = range(begun, min(begun + at_once, count))
        try:
            parts.append(attack(places))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(places) == 1:
                if isinstance(error, OutOfMemoryError):
                    raise
                raise OutOfMemoryError(_too_large(error, device)) from error
            at_once = len(places) // 2
        else:
            begun = places.stop
            continue
        _release(device)  # not before the error is gone: it holds on to what the pass had made
    return parts


def targets_at_once(
    probe: Callable[[int], object], *, work: Hashable, num_targets: int, rows_each: int, device: torch.device
) -> int:
    """How many targets of `rows_each` rows fit into the free memory of a GPU; on a CPU all are tried.

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
    return fitting_targets(one, two, free_bytes=free + idle, rows_each=rows_each, num_targets=num_targets)


def fitting_targets(one_row: int, two_rows: int, *, free_bytes: int, rows_each: int, num_targets: int) -> int:
    """Targets that fit, 1 or more, by the peaks of one row and of two in bytes."""
    row = max(1, two_rows - one_row)
    beside = max(0, one_row - row)  # what is needed once, however many rows there are
    rows = (int(USED_SHARE * free_bytes) - beside) // row
    return max(1, min(num_targets, rows // rows_each))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator, of a GPU or of the CPU, could not give what was asked for."""
    if isinstance(error, OutOfMemoryError | torch.cuda.OutOfMemoryError | MemoryError):
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
