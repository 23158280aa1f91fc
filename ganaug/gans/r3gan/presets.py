"""R3GAN's presets: the published ones, and one for few data and few minutes."""

from __future__ import annotations

from typing import Any, Literal

Preset = Literal["scarce", "paper_cifar10", "paper_ffhq64"]
SCHEDULES = ("gamma", "lr", "beta2", "augment_probability")

# Huang et al. 2024, appendix and public code: for batches of 512 and 256 pictures. Both end their burn-in at 20 million
# pictures; of pairs of numbers, the first is that at the start and the second that from there on. The public code puts
# pictures through more operations than DiffAugment's, which are in their place here, and takes the penalties' slopes by
# the pictures before these; here they are by what D sees.
PAPER: dict[str, Any] = {
    "latent_dim": 64,
    "noise": 0,
    "blocks": 2,
    "expansion": 2,
    "group_width": 16,
    "dense": False,
    "stride": 1,
    "tanh": False,
    "penalty_every": 1,
    "beta2": (0.9, 0.99),
    "lr": (2e-4, 5e-5),
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper_cifar10": {
        "image": PAPER
        | {
            "widths": [768],
            "gamma": (0.05, 0.005),
            "ema_decay": 0.5 ** (512 / 5_000_000),
            "burn_in": 20_000_000 // 512,
            "augment": "color,translation,cutout",
            "augment_probability": (0.0, 0.55),
        }
    },
    "paper_ffhq64": {
        "image": PAPER
        | {
            "widths": [768, 768, 768, 768, 384],
            "gamma": (2.0, 0.2),
            "ema_decay": 0.5 ** (256 / 500_000),
            "burn_in": 20_000_000 // 256,
            "augment": "color,translation,cutout",
            "augment_probability": (0.0, 0.3),
        }
    },
    "scarce": {
        "image": {
            "latent_dim": 64,
            "noise": 0,
            "widths": [128, 64, 32],
            "blocks": 1,
            "expansion": 1,
            "group_width": 0,
            "dense": True,
            "stride": 2,
            "penalty_every": 4,
            "gamma": (0.3, 0.03),
            "beta2": (0.99, 0.99),
            "ema_decay": 0.998,
            "augment": "color,translation,cutout",
        },
        "series": {
            "latent_dim": 64,
            "noise": 8,
            "blocks": 2,
            "expansion": 1,
            "group_width": 0,
            "dense": False,
            "stride": 1,
            "penalty_every": 1,
            "beta2": (0.99, 0.99),
            "lr": (5e-4, 2.5e-5),
            "ema_decay": 0.998,
            "augment": "",
            "augment_probability": (0.0, 0.0),
            "static": "condition",
            "changes": 0.3,
        },
    },
}


def by_values(values: int) -> dict[str, Any]:
    """What ``scarce`` has for pictures of so many values, where it was tried (experiments/README.md).

    Grey ones of 28×28 learn soonest at twice the rate that colour ones of 32×32 and 64×64 were trained with. A tanh
    was a gain for both of the smaller ones, and a loss for faces of 64×64; D has to see these as they are more often,
    or their parts come apart.
    """
    small = values <= 3 * 32 * 32
    often = 0.7 if small else 0.3
    return {
        "lr": (1e-3, 1e-4) if values <= 32 * 32 else (5e-4, 5e-5),
        "tanh": small,
        "augment_probability": (often, often),
    }


def by_columns(columns: int) -> dict[str, Any]:
    """What ``scarce`` has for series of so many columns, where it was tried: 5, 6 and 28 (experiments/README.md).

    The penalties grow with what D sees; 64 channels at the four resolutions of series of up to 32 steps, fewer further
    out, where there are more steps, and half as many again for more than 8 columns.
    """
    width = 64 if columns <= 8 else 96
    gamma = round(0.02 * max(5, columns), 2)
    return {"widths": [width] * 4 + [width // 2] * 2 + [width // 4], "gamma": (gamma, gamma)}
