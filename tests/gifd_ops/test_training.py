from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gifd_ops.training
from gifd_ops.train_victim import main
from gifd_ops.training import load_victim, save_victim, sha256_of, trained_victim
from gifd_ops.victim_states import Trained, Untrained, Weights, read_victim_state
from gifd_ops.victims import build_victim


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gifd_ops.training, "IMAGES_PER_EPOCH", 40)
    monkeypatch.setattr(gifd_ops.training, "BATCH", 20)


def test_training_depends_on_the_seed_alone_and_begins_at_the_untrained_victim(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again, other = (trained_victim("resnet10_narrow", epochs=1, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [victim.state_dict() for victim in (first, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])
    means = [value for key, value in states[0].items() if key.endswith("running_mean")]
    assert all(bool(value.any()) for value in means)  # the statistics of what it saw
    monkeypatch.setattr(gifd_ops.training, "LEARNING_RATE", 0.0)
    still = trained_victim("lenet", epochs=1, seed=3)
    begin = build_victim("lenet", seed=3, num_classes=10, size_px=32, pixel_mean=0.5, pixel_std=0.25)
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), begin.parameters(), strict=True))
    assert not any(module.training for module in first.modules())


def test_a_victim_is_loaded_as_it_was_kept(tmp_path: Path) -> None:
    victim, path = trained_victim("resnet10_narrow", epochs=1, seed=0), tmp_path / "victim.safetensors"
    digest = save_victim(victim, path, name="resnet10_narrow")
    assert digest == sha256_of(path)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_victim(path, "resnet10_narrow", sha256=digest)(images), victim(images))
    with pytest.raises(ValueError, match=rf"to have sha256 {'0' * 64}, got {digest}"):
        load_victim(path, "resnet10_narrow", sha256="0" * 64)
    with pytest.raises(ValueError, match=r"does not hold the weights of the victim lenet"):
        load_victim(path, "lenet")
    path.write_bytes(b"not a file of weights")
    with pytest.raises(ValueError, match=r"does not hold the weights"):
        load_victim(path, "lenet")


def test_the_command_keeps_a_victim_and_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lenet.safetensors"
    assert main(["lenet", "--epochs", "1", str(path)]) == 0
    assert sha256_of(path) in capsys.readouterr().out
    assert main(["lenet", "--epochs", "0", str(path)]) == 2
    assert "1 to 1000 epochs, got 0" in capsys.readouterr().err
    assert main(["lenet", "--epochs", "1", str(tmp_path / "absent" / "x")]) == 2
    assert "there is no" in capsys.readouterr().err


def test_states_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.touch()
    for state in (Untrained(), Trained(3), Weights(path)):
        assert read_victim_state(str(state)) == state
        assert hash(read_victim_state(str(state))) == hash(state)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("epochs=few", r"epochs are a whole number, got 'few'; say epochs=3"),
        ("epochs=0", r"1 to 1000 epochs, got 0; 0 is untrained"),
        ("trained", r"untrained, epochs=K or a safetensors file; there is no file 'trained'"),
    ],
)
def test_a_state_that_is_none_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read_victim_state(text)
