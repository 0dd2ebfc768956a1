from __future__ import annotations

from typing import Any

import pytest

from gifd_ops.protocols import SHARED_GRADIENT, ClientProtocol

FEDAVG = ClientProtocol(kind="fedavg", local_steps=6, local_lr=0.1, local_batch_size=2)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"kind": "fedprox"}, r"one of gradient, fedavg, got 'fedprox'"),
        ({"victim_mode": "test"}, r"eval or train, got 'test'"),
        ({"kind": "fedavg", "local_lr": 0.1, "local_steps": 0}, r"local_steps >= 1, got 0"),
        ({"kind": "fedavg"}, r"finite local_lr > 0, got None"),
        ({"kind": "fedavg", "local_lr": -1.0}, r"finite local_lr > 0, got -1.0"),
        ({"kind": "fedavg", "local_lr": float("nan")}, r"finite local_lr > 0, got nan"),
        ({"kind": "fedavg", "local_lr": float("inf")}, r"finite local_lr > 0, got inf"),
        ({"kind": "fedavg", "local_lr": 0.1, "local_batch_size": 0}, r"local_batch_size >= 1, got 0"),
        ({"local_steps": 2}, r"no local training, got local_steps 2"),
        ({"local_lr": 0.1}, r"no local training, got local_steps 1, local_lr 0.1"),
    ],
)
def test_a_protocol_that_no_client_can_follow_is_refused(told: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ClientProtocol(**told)


@pytest.mark.parametrize(
    ("protocol", "batch_size", "rule"),
    [
        (FEDAVG, 1, r"at most the client's 1 images, got 2"),
        (FEDAVG, 13, r"6 local steps of 2 images do not see all 13 images .* take 7 steps"),
        (SHARED_GRADIENT, 0, r"1 image or more, got 0"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(protocol: ClientProtocol, batch_size: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        protocol.check_fits(batch_size)


@pytest.mark.parametrize(
    ("size", "batch_size", "steps"),
    [
        (2, 4, [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1], [2, 3]]),
        (2, 5, [[0, 1], [2, 3], [4], [0, 1], [2, 3], [4]]),
        (None, 3, [[0, 1, 2]] * 6),
        (1, 1, [[0]] * 6),
    ],
)
def test_steps_go_through_the_batch_again_and_again(size: int | None, batch_size: int, steps: list[list[int]]) -> None:
    protocol = ClientProtocol(kind="fedavg", local_steps=6, local_lr=0.1, local_batch_size=size)
    protocol.check_fits(batch_size)
    assert [list(places) for places in protocol.steps(batch_size)] == steps


def test_a_coarser_way_is_as_long_as_the_whole_one() -> None:
    coarser = FEDAVG.coarser(3)
    assert (coarser.local_steps, coarser.local_lr, coarser.local_batch_size) == (3, pytest.approx(0.2), None)
    assert FEDAVG.coarser(6) == FEDAVG.coarser(9) == FEDAVG
    assert SHARED_GRADIENT.coarser(1) == SHARED_GRADIENT
    assert not FEDAVG.coarser(1).trains


@pytest.mark.parametrize("protocol", [FEDAVG, SHARED_GRADIENT, ClientProtocol(victim_mode="train")], ids=str)
def test_a_protocol_is_the_same_after_it_was_written(protocol: ClientProtocol) -> None:
    assert ClientProtocol.from_dict(protocol.to_dict()) == protocol
