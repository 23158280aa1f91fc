"""What TimeGAN's options are where they are left out."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The official code's networks, weights and schedule; a joint step of its is three batches here.
    "paper": {
        "conditional": False,
        "series_latent": False,
        "hidden": 24,
        "layers": 3,
        "autoencoder_steps": 50_000,
        "supervisor_steps": 50_000,
        "g_steps": 2,
        "d_batch": "fresh",
        "d_threshold": 0.15,
        "correlation_weight": 0.0,
        "autocorrelation_weight": 0.0,
        "change_weight": 0.0,
        "sliced_weight": 0.0,
        "matching_weight": 0.0,
        "ema_decay": 0.0,
        "lr": 1e-3,
        "lr_g": 1e-3,
        "lr_d": 1e-3,
        "decay_steps": 0,
    },
    # Few data and few steps: a wider latent space, shorter phases, more of the data's statistics to go by, a generator
    # that learns faster than D, and samples from averaged weights.
    "scarce": {
        "conditional": True,
        "series_latent": True,
        "hidden": None,
        "layers": 2,
        "autoencoder_steps": 1000,
        "supervisor_steps": 300,
        "g_steps": 2,
        "d_batch": "same",
        "d_threshold": 0.0,
        "correlation_weight": 10.0,
        "autocorrelation_weight": 30.0,
        "change_weight": 3.0,
        "sliced_weight": 30.0,
        "matching_weight": 1.0,
        "ema_decay": 0.995,
        "lr": 3e-3,
        "lr_g": 2e-3,
        "lr_d": 1e-3,
        "decay_steps": 4000,
    },
}
