"""The training recipe of each network: rates, schedules, batches.

`default` was found by trial (docs/networks.md has the table): a short warm-up, a high peak, half a cosine down. `paper`
is what the network's authors state.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Adam at `rate`, times a factor that depends on how far training is.

    `halved_every` and `decay` count epochs: the rate is halved every so many, and multiplied by `decay` after each.
    Without either, it falls along half a cosine to a hundredth after `warm_up` steps.
    """

    rate: float
    epochs: int
    batch: int = 16
    warm_up: int = 0
    halved_every: int = 0
    decay: float = 0.0

    def factor(self, step: int, steps: int, epoch: int) -> float:
        """Of the rate, for step 0 and so on of `steps`, in an epoch, 0 and so on."""
        if self.halved_every:
            return 0.5 ** (epoch // self.halved_every)
        if self.decay:
            return self.decay**epoch
        warm_up = min(self.warm_up, max(1, steps // 8))
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


RECIPES = {
    ("default", "prnet"): Recipe(2e-3, 30, warm_up=10),
    ("default", "mobilenetv2"): Recipe(3e-3, 30, warm_up=10),
    ("default", "resnet18"): Recipe(1e-3, 30, warm_up=10),
    ("default", "lprnet"): Recipe(5e-3, 30, warm_up=10),
    ("paper", "prnet"): Recipe(1e-4, 30, halved_every=5),
    ("paper", "mobilenetv2"): Recipe(1e-5, 420, decay=0.99),
    ("paper", "resnet18"): Recipe(1e-4, 500, decay=0.99),
    ("paper", "lprnet"): Recipe(1e-4, 15, halved_every=5),
}
"""(recipe, network) → what it is. PRNet's authors name no number of epochs, MobileNetV2's no base of their
exponential schedule: 30 and ResNet18's are taken."""
