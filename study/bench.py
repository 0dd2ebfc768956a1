"""What a worker keeps from job to job: generators, targets, victims, galleries, metrics' networks."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from gifd_ops import targets as private
from gifd_ops.controls import noise_gradient
from gifd_ops.defenses.defend import defend
from gifd_ops.generators.biggan import BigGanGenerator
from gifd_ops.generators.checkpoints import PublicGenerator
from gifd_ops.generators.loading import load_generator, untrained_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.perceptual import Lpips, load_lpips
from gifd_ops.perceptual_weights import BACKBONES, check_backbone, find_backbone
from gifd_ops.pictures import Picture, scan_pictures
from gifd_ops.seeds import derive_seed
from gifd_ops.targets import Target, into_blocks, picture_targets, portrait_targets
from gifd_ops.training import accuracy, trained_victim
from gifd_ops.victim_states import Trained, read_victim_state
from gifd_ops.victims import Victim, build_victim
from study.checks import LPIPS_NETWORKS
from study.plan import StudyPlan, split_of
from study.sharing import PLAIN
from study.task.inputs import Inputs
from study.task.own import OwnTask


class Bench:
    """Everything that the trials of a study share, made when it is first asked for, on the worker's device."""

    def __init__(self, plan: StudyPlan, *, pictures_folder: Path | None) -> None:
        self.plan, self.pictures_folder = plan, pictures_folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._blocks_of = cache(self._draw_blocks)  # by split: a control attacks the images of the test
        self._victim_of = cache(self._build_victim)
        self._accuracy_of = cache(self._measure_accuracy)
        self._portraits = cache(self._draw_gallery)

    def generator(self, phase: str) -> PublicGenerator:
        """The generator of a phase: trained, unless its control says otherwise."""
        untrained = self.plan.control_of(phase) == "untrained_generator"
        return self._untrained if untrained else self._trained

    @cached_property
    def _trained(self) -> PublicGenerator:
        task = self.plan.task_info
        if self._own is not None:
            return self._placed(self._own.generator())
        return self._placed(load_generator(task.checkpoint, size_px=task.size_px))

    @cached_property
    def _untrained(self) -> PublicGenerator:
        task, seed = self.plan.task_info, derive_seed(self.plan.seed, "untrained generator")
        if self._own is not None:
            return self._placed(self._own.untrained(seed))
        return self._placed(untrained_generator(task.checkpoint, size_px=task.size_px, seed=seed))

    @cached_property
    def _own(self) -> OwnTask | None:
        """The task of a person's own, if that is what the plan is of."""
        return None if self.plan.own_task is None else OwnTask(self.plan, Inputs.read(self.pictures_folder))

    def _placed(self, generator: PublicGenerator) -> PublicGenerator:
        """The generator on this device: made anew there, for it keeps tensors beside its network's."""
        if self.device.type == "cpu":
            return generator
        size_px = self.plan.task_info.size_px
        if isinstance(generator, BigGanGenerator):
            return BigGanGenerator(generator.network.to(self.device), size_px=size_px)
        return StyleGan2Generator(generator.network.to(self.device), size_px=size_px)

    @cached_property
    def lpips(self) -> dict[str, Lpips]:
        """LPIPS by column, for the networks whose weights are on this machine; nothing is ever downloaded."""
        found = {}
        for column, net in LPIPS_NETWORKS.items():
            path = find_backbone(net)
            if path is not None and self.plan.task_info.size_px >= BACKBONES[net].smallest_px:
                check_backbone(path, net)
                found[column] = load_lpips(net, path).to(self.device)
        return found

    def observation(self, phase: str, block: int) -> Observation:
        """What the attacker sees of a block, under the phase's control: a client for each of its `seeds`.

        A control's noise stands in for what is shared in the end, so it is drawn after the defense.
        """
        targets, control, sharing = self.blocks(phase)[block], self.plan.control_of(phase), self.plan.sharing
        seeds = self.seeds(phase, block)
        images = self._others(targets) if control == "other_image" else truth_of(targets)
        labels = torch.tensor([target.label for target in targets], device=self.device)
        if sharing.batch_size > 1:
            images, labels = (of_images.unflatten(0, (-1, sharing.batch_size)) for of_images in (images, labels))
        victim = self.victim(phase, block)
        observation = observe(
            victim, images, labels, protocol=sharing.protocol, grant_labels=self.plan.labels == "given"
        )
        drawn = [derive_seed(seed, "defense") for seed in seeds]
        observation = defend(observation, sharing.defended_by, seeds=drawn, victim=victim, images=images, labels=labels)
        if control == "noise_gradient":
            return noise_gradient(observation, seeds=[derive_seed(seed, "noise") for seed in seeds])
        return observation

    def seeds(self, phase: str, block: int) -> list[int]:
        """The seeds of the attacks on a block's clients, each with one target or a batch: that of its first target."""
        return [target.seed for target in self.blocks(phase)[block][:: self.plan.sharing.batch_size]]

    def blocks(self, phase: str) -> list[list[Target]]:
        """The targets of a phase, block by block, the same for every trial."""
        return self._blocks_of(split_of(phase))

    def victim(self, phase: str, block: int) -> Victim:
        """The victim of a block: an initialization of its own, different in every split."""
        return self._victim_of(split_of(phase), block)

    def victim_accuracy(self, phase: str, block: int) -> float | None:
        """Share of new images that the victim of a block classifies rightly; None for one that was not trained."""
        return self._accuracy_of(split_of(phase), block)

    def _draw_blocks(self, split: str) -> list[list[Target]]:
        targets = [replace(target, image=target.image.to(self.device)) for target in self._targets(split)]
        return into_blocks(targets, per_domain=self.plan.block_targets_per_domain)

    def _build_victim(self, split: str, block: int) -> Victim:
        task, seed = self.plan.task_info, derive_seed(self.plan.seed, "victim", split, block)
        if self._own is not None:
            return self._own.victim(self.plan.victim, seed=seed).to(self.device)
        state = read_victim_state(self.plan.sharing.victim_state)
        if isinstance(state, Trained):
            return trained_victim(self.plan.victim, epochs=state.epochs, seed=seed).to(self.device)
        return build_victim(
            self.plan.victim,
            seed=seed,
            num_classes=task.num_classes,
            size_px=task.size_px,
            pixel_mean=task.pixel_mean,
            pixel_std=task.pixel_std,
        ).to(self.device)

    def _measure_accuracy(self, split: str, block: int) -> float | None:
        if self.plan.sharing.victim_state == PLAIN.victim_state:
            return None
        return accuracy(copy.deepcopy(self._victim_of(split, block)).cpu())

    def _targets(self, split: str) -> list[Target]:
        plan, task = self.plan, self.plan.task_info
        if self._own is not None:
            return self._own.targets(split)
        if plan.pictures is None:
            return portrait_targets(
                split,
                domains=plan.domains,
                per_domain=plan.test_targets_per_domain if split == "test" else plan.targets_per_domain,
                seed=plan.seed,
                size_px=task.size_px,
            )
        return picture_targets(
            self._pictures,
            plan.picture_split(split),
            split=split,
            num_classes=task.num_classes,
            seed=plan.seed,
            size_px=task.size_px,
        )

    def _others(self, targets: list[Target]) -> Tensor:
        """For each target another image of its domain, of its class where there is one."""
        size_px = self.plan.task_info.size_px
        if self._own is not None:
            others = self._own.others(targets)
        elif self.plan.pictures is None:
            others = private.portrait_others(targets, size_px=size_px)
        else:
            others = private.picture_others(self._pictures, self.plan.pictures, targets, size_px=size_px)
        return others.to(self.device)

    def gallery_of(self, target: Target) -> Tensor:
        """Images among which a target is looked for, itself left out: [n, 3, h, w]; none where there are no others."""
        plan, size_px = self.plan, self.plan.task_info.size_px
        if plan.pictures is None:
            return self._portraits(target.domain)
        count = plan.gallery - 1
        gallery = private.picture_gallery(self._pictures, plan.pictures, target, count=count, size_px=size_px)
        return gallery.to(self.device)

    def _draw_gallery(self, domain: str) -> Tensor:
        """The images of a domain's gallery, which no split holds."""
        plan, size_px = self.plan, self.plan.task_info.size_px
        if self._own is not None:
            return self._own.gallery(domain, count=plan.gallery - 1).to(self.device)
        gallery = private.portrait_gallery(domain, count=plan.gallery - 1, seed=plan.seed, size_px=size_px)
        return gallery.to(self.device)

    @cached_property
    def _pictures(self) -> dict[Path, Picture]:
        if self.pictures_folder is None:
            raise ValueError("this study attacks a person's own pictures; give their folder again (--images FOLDER)")
        return scan_pictures(self.pictures_folder, num_classes=self.plan.task_info.num_classes)


def truth_of(targets: list[Target]) -> Tensor:
    """The private images of targets, [n, 3, h, w]."""
    return torch.stack([target.image for target in targets])
