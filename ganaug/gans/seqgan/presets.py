"""What SeqGAN's options are where they are left out."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The official code's networks, schedule and loss (its epochs of 9,984 sequences are 156 batches of 64).
    "paper": {
        "conditional": False,
        "embedding": 32,
        "hidden": 32,
        "dropout": 0.0,
        "ema_decay": 0.0,
        "d_embedding": 64,
        "d_dropout": 0.25,
        "d_l2": 0.2,
        "d_weight_decay": 0.0,
        "filters": dict(
            zip((*range(1, 11), 15, 20), (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160), strict=True)
        ),
        "mle_steps": 120 * 156,
        "discriminator_steps": 50 * 3 * 156,
        "d_steps": 5 * 3 * 156,
        "negatives": 156,
        "negative_epochs": 3,
        "rollouts": 16,
        "rollout_every": 1,
        "rollout_lag": 0.8,
        "baseline": "none",
        "whiten": False,
        "reduction": "sum",
        "mle_weight": 0.0,
        "lr_mle": 1e-2,
        "lr_g": 1e-2,
        "lr_d": 1e-4,
        "clip": 5.0,
    },
    # Few data: more memory and dropout in G, its average for samples, a smaller D that forgets by weight decay, and a
    # gradient of less variance that goes on seeing real sentences.
    "scarce": {
        "conditional": True,
        "embedding": 64,
        "hidden": 128,
        "dropout": 0.2,
        "ema_decay": 0.998,
        "d_embedding": 16,
        "d_dropout": 0.5,
        "d_l2": 0.0,
        "d_weight_decay": 0.5,
        "filters": {1: 64, 2: 64, 3: 64, 4: 64, 5: 64, 7: 64, 10: 64},
        "mle_steps": 1000,
        "discriminator_steps": 1000,
        "d_steps": 1,
        "negatives": 4,
        "negative_epochs": 1,
        "rollouts": 4,
        "rollout_every": 4,
        "rollout_lag": 0.0,
        "baseline": "difference",
        "whiten": False,
        "reduction": "mean",
        "mle_weight": 0.2,
        "lr_mle": 5e-3,
        "lr_g": 5e-3,
        "lr_d": 4e-3,
        "clip": 5.0,
    },
}
