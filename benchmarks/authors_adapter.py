"""The authors' implementation (ffhibnese/GIFD_Gradient_Inversion_Attack), run on a CPU with a generator of any size.

Nothing of it is part of this repository, and nothing of it is changed: it is imported from a checkout, and what it
needs to run here is given to it from outside.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import importlib.util
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
import torch.utils.cpp_extension
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.parity_case import NUM_CLASSES, Case, Outcome
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config
from gifd_ops.stages import Radius
from gifd_ops.victims import Victim

REPOSITORY, COMMIT = "https://github.com/ffhibnese/GIFD_Gradient_Inversion_Attack", "ff243fe"
# The files that take part, and how their sha256 begins at that commit.
FILES = {
    "defense.py": "20f9c91c912ecaad",
    "inversefed/reconstruction_algorithms.py": "118f548d026c9e7d",
    "inversefed/metrics.py": "e0177f933f670c0e",
    "inversefed/utils.py": "bcc81e7366e40014",
    "inversefed/nn/models.py": "d306df61e1c8eee0",
    "inversefed/genmodels/stylegan2_io/model.py": "08865fa491030db5",
    "inversefed/genmodels/stylegan2_io/op/fused_act.py": "4b3556413162f549",
    "inversefed/genmodels/stylegan2_io/op/upfirdn2d.py": "cbf7bbd134ffdd34",
}
# They are imported there, but play no part in GIFD. Stand-ins are used where one is not installed.
UNUSED = ("FrEIA", "FrEIA.framework", "FrEIA.modules", "nevergrad", "six", "six.moves")
NATIVE_PX = 1024  # their images are pooled by 1024 // image_size


@dataclass(frozen=True, kw_only=True)
class Authors:
    """The parts of the authors' package that are used here."""

    reconstruction: ModuleType
    generator: type[nn.Module]
    construct_model: Callable[..., tuple[nn.Module, int]]


def load_authors(checkout: Path) -> Authors:
    """Import the authors' package; ValueError if `checkout` does not hold it."""
    missing = [name for name in FILES if not (checkout / name).is_file()]
    if missing:
        raise ValueError(
            f"the reference must be a checkout of the authors' repository, but {checkout} has no {missing[0]}; "
            f"git clone {REPOSITORY}, git checkout {COMMIT}, and give that folder"
        )
    with _importable(checkout):
        reconstruction = importlib.import_module("inversefed.reconstruction_algorithms")
        generator = importlib.import_module("inversefed.genmodels.stylegan2_io.model").Generator
        construct_model = importlib.import_module("inversefed.nn.models").construct_model
    return Authors(reconstruction=reconstruction, generator=generator, construct_model=construct_model)


def changed_files(checkout: Path) -> list[str]:
    """Those of the files that take part that are not as they were at `COMMIT`."""
    found = {name: hashlib.sha256((checkout / name).read_bytes()).hexdigest() for name in FILES}
    return [name for name, begins in FILES.items() if not found[name].startswith(begins)]


class StandIn(ModuleType):
    """A module of which any name can be imported, and none used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return object()


@contextlib.contextmanager
def _importable(checkout: Path) -> Iterator[None]:
    """While the authors' package is imported: no CUDA extension is built, and unused modules need not exist."""
    absent = [name for name in UNUSED if importlib.util.find_spec(name.split(".")[0]) is None]
    environment, benchmark = dict(os.environ), torch.backends.cudnn.benchmark
    sys.path.insert(0, str(checkout.resolve()))
    sys.modules.update({name: StandIn(name) for name in absent})
    try:
        with mock.patch.object(torch.utils.cpp_extension, "load", return_value=None):
            yield
    finally:
        sys.path.remove(str(checkout.resolve()))
        for name in absent:
            del sys.modules[name]
        os.environ.clear()
        os.environ.update(environment)
        torch.backends.cudnn.benchmark = benchmark


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Networks with the weights of a case, in the authors' classes."""

    generator: nn.Module
    victim: nn.Module


def prepare(authors: Authors, case: Case) -> Prepared:
    """The case's networks as the authors' code knows them. Their ResNet18, or the case's own layers otherwise."""
    with _quietly(), _in_precision(case.dtype), torch.random.fork_rng(devices=[]):
        return Prepared(
            generator=_copied_generator(authors, case.generator.network), victim=_copied_victim(authors, case.victim)
        )


def run_authors(authors: Authors, prepared: Prepared, case: Case) -> Outcome:
    """The case under the authors' implementation."""
    with _quietly(), _in_precision(case.dtype), _gaussian_fit(prepared.generator, case), torch.random.fork_rng([]):
        watched = Watched(authors, prepared, case)
        return watched.outcome(watched.reconstruct())


class Watched:
    """Their reconstructor for a case, begun where the case says, with an eye on its losses and scores."""

    def __init__(self, authors: Authors, prepared: Prepared, case: Case) -> None:
        self.case, self.model = case, prepared.victim
        self.losses: list[Tensor] = []
        self.scores: list[Tensor] = []
        mean, std = (torch.as_tensor(value) for value in (case.victim.pixel_mean, case.victim.pixel_std))
        authors.reconstruction.imsize_dict["compared"] = case.size_px
        machine = authors.reconstruction.GradientReconstructor(
            prepared.victim, torch.device("cpu"), (mean, std), _settings(case), num_images=1, G=prepared.generator
        )
        machine.init_var(None)  # which makes the noise maps that all restarts share
        for own, given in zip(machine.initial_noises[0], case.generator.noises, strict=True):
            own.copy_(given)
        starts = iter(case.generator.z)
        machine.init_dummy_z = lambda *_: machine.mpl(next(starts)[None]).detach().clone().requires_grad_(True)
        machine._gradient_closure = _recorded_closures(machine._gradient_closure, self.losses)
        machine._score_trial = _recorded(machine._score_trial, self.scores)
        self.machine = machine

    def reconstruct(self) -> list[Any]:
        """What their attack returns on the gradient of the case's image."""
        seen = self.case.victim.normalize(self.case.image)
        loss = functional.cross_entropy(self.model(seen), self.case.label)
        gradient = torch.autograd.grad(loss, list(self.model.parameters()))
        self.label = int(self.machine.infer_label(gradient))
        side = NATIVE_PX // self.case.generator.pooling
        begin = time.perf_counter()
        found: list[Any] = self.machine.reconstruct(gradient, self.case.label, img_shape=(3, side, side))
        self.seconds = time.perf_counter() - begin
        return found

    def outcome(self, found: list[Any]) -> Outcome:
        """Their result list, and what was seen on the way, in our terms."""
        stages, restarts = self.case.stages, self.case.config.restarts
        counts = [stage.steps * restarts for stage in stages]
        by_name = {name: (image, stats["opt"]) for name, image, stats in found}
        image, score = by_name[f"Best_first_{len(stages) - 1}_layer"]
        chosen = [index for index in range(len(stages)) if by_name[f"layer{index}"][1] == score]
        return Outcome(
            seconds=self.seconds,
            label=self.label,
            losses=tuple(part.view(restarts, -1) for part in torch.stack(self.losses).split(counts)),
            scores=torch.stack(self.scores).view(len(stages), restarts),
            stage=chosen[0],
            score=score,
            image=self.case.victim.denormalize(image[0]),
        )


def _recorded(function: Callable[..., Tensor], record: list[Tensor]) -> Callable[..., Tensor]:
    """The function, every value of which is kept."""

    def recorded(*arguments: Any) -> Tensor:
        value = function(*arguments)
        record.append(value.detach())
        return value

    return recorded


def _recorded_closures(
    make: Callable[..., Callable[[], Tensor]], record: list[Tensor]
) -> Callable[..., Callable[[], Tensor]]:
    """The maker of closures, every value of which is kept."""
    return lambda *arguments: _recorded(make(*arguments), record)


def _settings(case: Case) -> dict[str, Any]:
    """The case's config in the authors' words."""
    config, stages = case.config, case.stages
    return {
        "cost_fn": "sim_cmpr0",
        "indices": "def",
        "weights": "equal",
        "optim": "adam",
        "init": "zeros",
        "restarts": config.restarts,
        "total_variation": config.tv_weight,
        "image_norm": config.l2_weight,
        "bn_stat": 0,
        "group_lazy": 0,
        "z_norm": 0,
        "KLD": 0,
        "dataset": "compared",
        "gen_dataset": "compared",
        "generative_model": "stylegan2_io",
        "gifd": True,
        "steps": [stage.steps for stage in stages],
        "lr_io": [stage.lr for stage in stages],
        "start_layer": 0,
        "end_layer": case.generator.network.config.num_blocks - 1,
        "do_project_gen_out": True,
        "do_project_noises": True,
        "do_project_latent": True,
        "max_radius_gen_out": [_published(stage.feature_radius) for stage in stages],
        "max_radius_noises": [_published(stage.noise_radius) for stage in stages],
        "max_radius_latent": [_published(stage.latent_radius) for stage in stages],
        "defense_method": "None",
        "project": config.quirks.spherical == "on",
    }


def _published(radius: Radius | None) -> float:
    """A radius in the authors' settings, where 0 stands for no ball."""
    if radius is None:
        return 0.0
    assert not radius.relative, "the authors' radii are absolute"
    return radius.value


def _copied_generator(authors: Authors, network: StyleGan2) -> nn.Module:
    """The authors' generator with our network's channels and weights."""
    sizes = network.config
    table = {4 * 2**block: channels for block, channels in enumerate(sizes.channels)}
    # their table of channels is an attribute that is set while the layers are made: one that cannot be set stays ours
    free = type("FreeGenerator", (authors.generator,), {"channels": property(lambda _: table, lambda *_: None)})
    generator: nn.Module = free(sizes.size_px, sizes.w_dim, sizes.mapping_layers).to(network.synthesis.constant.dtype)
    own, theirs = dict(network.named_parameters()), dict(generator.named_parameters())
    names = generator_names(sizes)
    assert set(names) == set(own)
    assert set(names.values()) == set(theirs)
    with torch.no_grad():
        for name, their_name in names.items():
            theirs[their_name].copy_(own[name].view_as(theirs[their_name]))
    return generator.eval().requires_grad_(False)


def generator_names(sizes: StyleGan2Config) -> dict[str, str]:
    """The authors' name of each of our generator's parameters. Their shapes differ by dimensions of one only."""
    names = {"synthesis.constant": "input.input"}
    for layer in range(sizes.mapping_layers):
        names |= {f"mapping.layers.{layer}.{kind}": f"style.{layer + 1}.{kind}" for kind in ("weight", "bias")}
    for block in range(sizes.num_blocks):
        ours, first = f"synthesis.blocks.{block}", block == 0
        names |= _styled_names(f"{ours}.conv", "conv1" if first else f"convs.{2 * block - 1}")
        if not first:
            names |= _styled_names(f"{ours}.up", f"convs.{2 * block - 2}")
        to_rgb = "to_rgb1" if first else f"to_rgbs.{block - 1}"
        names |= _modulated_names(f"{ours}.to_rgb", to_rgb) | {f"{ours}.to_rgb.bias": f"{to_rgb}.bias"}
    return names


def _styled_names(ours: str, theirs: str) -> dict[str, str]:
    own = {f"{ours}.noise_gain": f"{theirs}.noise.weight", f"{ours}.bias": f"{theirs}.activate.bias"}
    return own | _modulated_names(ours, theirs)


def _modulated_names(ours: str, theirs: str) -> dict[str, str]:
    parts = {"weight": "weight", "style.weight": "modulation.weight", "style.bias": "modulation.bias"}
    return {f"{ours}.conv.{part}": f"{theirs}.conv.{their_part}" for part, their_part in parts.items()}


def _copied_victim(authors: Authors, victim: Victim) -> nn.Module:
    """The authors' ResNet18 with our victim's weights; for any other victim its own layers, copied."""
    layers: nn.Module = victim.layers
    weights = layers.state_dict()
    if "layer1.0.conv1.weight" in weights:
        model, _ = authors.construct_model("ResNet18", num_classes=NUM_CLASSES, seed=0)
        stages = {f"layer{stage}.": f"layers.{stage - 1}." for stage in (1, 2, 3, 4)}
        model.load_state_dict({stages.get(name[:7], name[:7]) + name[7:]: value for name, value in weights.items()})
        model = model.to(victim.pixel_mean.dtype)
    else:
        model = copy.deepcopy(layers)
    return model.eval().requires_grad_(True)


@contextlib.contextmanager
def _gaussian_fit(generator: nn.Module, case: Case) -> Iterator[None]:
    """Work in a folder with their gaussian_fit.pt, fitted as PULSE does from their own mapping network."""
    assert callable(generator.get_latent)
    with torch.no_grad():
        before = functional.leaky_relu(generator.get_latent(case.fit_z), 5.0)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        torch.save({"mean": before.mean(dim=0), "std": before.std(dim=0)}, "gaussian_fit.pt")
        yield


@contextlib.contextmanager
def _in_precision(dtype: torch.dtype) -> Iterator[None]:
    """Let their code compute in `dtype`: it asks for the default, but for latents and masks that it makes float32."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if dtype == torch.float32:
            yield
        else:
            with mock.patch.object(torch.Tensor, "float", lambda tensor: tensor.to(dtype)):
                yield
    finally:
        torch.set_default_dtype(default)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without their messages and progress bars."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
