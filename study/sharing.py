"""What a client shares of how many images, and what the attacker makes of its defense: held fixed by the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gifd_ops.defenses.config import Answer, Defense, How, NoDefense, answer_to, read_defense
from gifd_ops.protocols import SHARED_GRADIENT, ClientProtocol

MOST_IMAGES = 32  # of a batch


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How private images become what the attacker sees.

    defense: as `read_defense` reads it. answer: what the attacker makes of it; `ignores` where there is none.
    batch_size: private images behind each shared gradient. victim_state: `untrained` or `epochs=K`.
    """

    defense: str = "none"
    answer: How = "ignores"
    protocol: ClientProtocol = SHARED_GRADIENT
    batch_size: int = 1
    victim_state: str = "untrained"

    @property
    def defended_by(self) -> Defense:
        return read_defense(self.defense)

    @property
    def has_defense(self) -> bool:
        return not isinstance(self.defended_by, NoDefense)

    @property
    def full_answer(self) -> Answer | None:
        """The attacker's answer, None where there is nothing to answer or it is ignored."""
        return answer_to(self.defended_by, self.answer)

    @property
    def columns(self) -> dict[str, Any]:
        """What the ledger says of it, row by row."""
        return {
            "defense": self.defense,
            "answer": self.answer if self.has_defense else None,
            "sharing": self.protocol.kind,
            "batch_size": self.batch_size,
        }

    @property
    def differences(self) -> list[str]:
        """What is not as it is without any option, in words that a folder may be named by."""
        named = [self.defense.replace("=", "-").replace(",", "-"), self.answer] if self.has_defense else []
        protocol = self.protocol
        if protocol.kind == "fedavg":
            rate = f"{protocol.local_lr:g}"
            named.append(f"fedavg-{protocol.local_steps}x{rate}")
            named += [f"local-{protocol.local_batch_size}"] * (protocol.local_batch_size is not None)
        named += [f"batch-{self.batch_size}"] * (self.batch_size > 1)
        named += ["train-mode"] * (protocol.victim_mode == "train")
        return named + [self.victim_state.replace("=", "-")] * (self.victim_state != "untrained")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` took apart."""
        return cls(**{**values, "protocol": ClientProtocol.from_dict(values["protocol"])})


PLAIN = Sharing()
