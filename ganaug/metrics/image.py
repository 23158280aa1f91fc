"""The network that published image scores are measured with."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from datamodules.errors import InputError, reason_of
from ganaug.runtime.devices import device_of


class Inception:
    """Features of the Inception network of the Fréchet Inception Distance (Heusel et al. 2017), pool3 of 2015-12-05.

    The weights are the original TensorFlow ones and pictures are resized as TensorFlow 1 did it, so that distances
    compare with published ones; torch-fidelity (Obukhov et al. 2020) did the work. For pictures that are not natural
    photographs, and for few of them, the features of a classifier trained on the real data say more.

    Args:
        weights: file of torch-fidelity's weights; by default they are downloaded once, to torch's hub folder.
        device: where to compute; by default the accelerator, if there is one.
        batch_size: pictures at a time.

    Raises:
        InputError: torch-fidelity is not installed, the weights cannot be downloaded, or the file is not there or
            holds something else.
    """

    name = "inception-v3-compat"

    def __init__(
        self, weights: str | Path | None = None, device: str | torch.device | None = None, batch_size: int = 32
    ) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise InputError("Inception features need torch-fidelity: pip install torch-fidelity") from None
        if weights is not None:
            _check_weights(Path(weights))
        try:
            with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
                network = FeatureExtractorInceptionV3(
                    self.name, ["2048"], feature_extractor_weights_path=weights if weights is None else str(weights)
                )
        except (OSError, RuntimeError) as error:
            reason = reason_of(error)[:200]
            if weights is not None:
                raise InputError(f"{weights}: not the weights of the FID Inception network: {reason}") from None
            raise InputError(
                f"the Inception weights cannot be downloaded ({reason}): pass --inception_weights PATH"
            ) from None
        self.device = device_of("auto") if device is None else torch.device(device)
        self.network = network.to(self.device).eval()
        self.batch_size = batch_size

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, 1 or 3, H, W), N ≥ 1, to features float32 (N, 2048) on the CPU.

        Raises:
            InputError: pictures of another type, or neither grey nor RGB.
        """
        if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
            raise InputError(f"Inception needs pictures uint8 (N, 1 or 3, H, W), not {x.dtype} {tuple(x.shape)}")
        parts = (part.to(self.device).expand(-1, 3, -1, -1) for part in torch.split(x, self.batch_size))
        return torch.cat([self.network(part)[0].cpu() for part in parts])


def _check_weights(path: Path) -> None:
    """Open the file as plain tensors before torch-fidelity, which would run code that is hidden in it."""
    if not path.is_file():
        raise InputError(f"{path}: no such file: --inception_weights wants that of torch-fidelity's Inception network")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        known = isinstance(state, dict) and "Mixed_7c.branch_pool.conv.weight" in state
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        known = False
    if not known:
        raise InputError(f"{path}: not the weights of the FID Inception network, as torch-fidelity publishes them")
