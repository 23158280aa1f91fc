"""The classifiers of the augmentation study: what a person would train on their pictures, quick to train many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from rich.progress import track
from torch import Tensor, nn

from datamodules.base import Stream
from datamodules.errors import InputError
from datamodules.schema import Batch

Precision = Literal["32-true", "bf16-mixed"]


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut, normalised before each: He et al. 2016, arXiv 1603.05027, figure 4e.

    Batch normalisation, though batches of few data repeat their rows: its noise is what regularises the small sets
    (MNIST with 50 pictures a class: 94.8 % right, with group normalisation 92.6 %).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        h = F.relu(self.norm1(x))
        x = x if self.shortcut is None else self.shortcut(h)
        h = self.conv2(F.relu(self.norm2(self.conv1(h))))
        return x.add(h)


class ImageClassifier(LightningModule):
    """A ResNet of three stages for pictures of 8 to 128 pixels.

    Strided convolutions bring larger pictures down to at most 16 pixels before the first stage, so that training costs
    much the same at every size. Batches are ``x`` float32 (B, C, S, S) in [-1, 1] and ``y`` int64 (B,).

    Args:
        num_classes: of the answer.
        channels: of the pictures.
        image_size: side of the pictures in pixels.
        steps: training batches, over which the learning rate rises and falls once (Smith and Topin 2018).
        width: channels of the first stage; there are 4 × width features.
        learning_rate: its peak.
        weight_decay: of AdamW.
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        augment: classical augmentation: every training picture shifted by up to 1/8 of its side, black moving in.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        image_size: int,
        steps: int = 1000,
        width: int = 32,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.0,
        augment: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.steps, self.width, self.label_smoothing, self.augment = steps, width, label_smoothing, augment
        stem: list[nn.Module] = [nn.Conv2d(channels, width, 3, 2 if image_size > 16 else 1, 1)]
        side = -(-image_size // 2) if image_size > 16 else image_size
        while side > 16:
            stem += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)]
            side = -(-side // 2)
        self.body = nn.Sequential(
            *stem,
            Block(width, width, 1),
            Block(width, 2 * width, 2),
            Block(2 * width, 4 * width, 2),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ).to(memory_format=torch.channels_last)
        self.head = nn.Linear(4 * width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Pictures (B, C, S, S) in [-1, 1] to what the last layer sees, (B, 4 × width), at least 0."""
        features: Tensor = self.body(x.contiguous(memory_format=torch.channels_last))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, C, S, S) in [-1, 1] to logits (B, num_classes)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of a training batch."""
        x = shifted(batch["x"]) if self.augment else batch["x"]
        return F.cross_entropy(self(x).float(), batch["y"], label_smoothing=self.label_smoothing)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss, logged as ``loss/train``."""
        loss = self.loss(batch)
        self.log("loss/train", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The share of right answers, logged as ``accuracy/val``."""
        right = self(batch["x"]).argmax(1) == batch["y"]
        self.log("accuracy/val", right.float().mean(), prog_bar=True, batch_size=len(right), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, its learning rate in one cycle over ``steps``."""
        rate = self.hparams["learning_rate"]
        optimizer = torch.optim.AdamW(self.parameters(), rate, weight_decay=self.hparams["weight_decay"])
        total = max(20, self.steps + 1)  # with fewer it may divide by the length of an empty phase
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def shifted(x: Tensor) -> Tensor:
    """Each picture (B, C, S, S) in [-1, 1] shifted by up to S / 8 pixels both ways, black moving in."""
    margin = x.shape[-1] // 8
    size = torch.arange(x.shape[-1], device=x.device)
    dy, dx = torch.randint(2 * margin + 1, (2, len(x), 1)).to(x.device)
    padded = F.pad(x, (margin,) * 4, value=-1.0).permute(0, 2, 3, 1)  # (B, S + 2m, S + 2m, C)
    rows, columns = (dy + size)[:, :, None], (dx + size)[:, None, :]
    return padded[torch.arange(len(x), device=x.device)[:, None, None], rows, columns].permute(0, 3, 1, 2)


def fit_classifier(
    x: Tensor,
    y: Tensor,
    num_classes: int,
    *,
    steps: int | None = None,
    batch_size: int = 128,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Precision | None = None,
    progress: bool = False,
    rotations: bool = False,
    **options: Any,
) -> ImageClassifier:
    """Train an :class:`ImageClassifier` for a fixed number of steps, looking at nothing but the given rows.

    A plain loop, no ``Trainer``: it also runs inside one, on one rank of many, and leaves the process as it was. The
    global random state is put back, and the same seed on the same machine gives the same weights on a CPU.

    Args:
        x: uint8 (N, C, S, S), N ≥ 1.
        y: int64 (N,), in [0, num_classes).
        num_classes: of the answer, including classes without a row.
        steps: batches; by default 300 and 3 passes over the rows. Give it where two runs are to be compared.
        batch_size: rows per step, also where there are fewer rows: a batch then holds some of them twice.
        seed: of the weights, the order of the rows and the shifts.
        accelerator: ``auto``, ``cpu``, ``cuda``, ``mps`` (or ``gpu`` for what there is of the two).
        precision: by default bf16 autocast where the hardware multiplies in bf16, else float32.
        progress: show a progress bar.
        rotations: teach it to tell four rotations of each picture apart instead; a batch is a quarter as many pictures.
        **options: of :class:`ImageClassifier`.

    Returns:
        The classifier, on the device it was trained on, in evaluation mode.

    Raises:
        InputError: the tensors are not as above.
    """
    if x.ndim != 4 or x.dtype != torch.uint8 or x.shape[2] != x.shape[3] or len(x) != len(y) or not len(x):
        raise InputError(
            f"a classifier needs pictures uint8 (N, C, S, S) and as many labels, not {x.dtype} {tuple(x.shape)} and"
            f" {tuple(y.shape)}"
        )
    if not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise InputError(f"labels run from {int(y.min())} to {int(y.max())}, but there are {num_classes} classes")
    device = _device(accelerator)
    steps = steps or 300 + round(3 * len(x) / batch_size)
    share = 4 if rotations else 1  # of a batch that is one picture
    bf16 = precision == "bf16-mixed" or (precision is None and _multiplies_bf16(device))
    order = torch.tensor(list(Stream(len(x), batch_size // share, steps, seed, 0, 1))).view(steps, -1)
    rows = {"x": x, "y": y}
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reset the GPUs
        model = ImageClassifier(num_classes, x.shape[1], x.shape[-1], steps=steps, **options).to(device)
        training = model.configure_optimizers()
        optimizer, schedule = training["optimizer"], training["lr_scheduler"]["scheduler"]
        for index in track(order, "classifier", disable=not progress):
            batch = _scaled({name: field[index].to(device) for name, field in rows.items()})
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = model.loss(_rotated(batch) if rotations else batch)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model.eval()


class ClassifierFeatures:
    """What a classifier trained on the real training rows sees in pictures: the features that distances are taken in.

    Args:
        model: the classifier.
        name: says in a results table where the features came from.
        labelled: whether it tells the classes of the data apart, or else rotations.
        batch_size: pictures at a time.
    """

    def __init__(self, model: ImageClassifier, name: str, labelled: bool = True, batch_size: int = 512) -> None:
        self.model, self.name, self.labelled, self.batch_size = model.eval(), name, labelled, batch_size

    def __call__(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, C, S, S), N ≥ 1, to features float32 (N, d) on the CPU."""
        return self._over(x, self.model.features)

    def predict(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, C, S, S), N ≥ 1, to class ids int64 (N,); ids of rotations where not ``labelled``."""
        return self._over(x, self.model).argmax(1)

    def accuracy(self, x: Tensor, y: Tensor) -> float:
        """Share of pictures uint8 (N, C, S, S), N ≥ 1, whose class id is that of ``y`` int64 (N,)."""
        return float((self.predict(x) == y.cpu()).double().mean())

    @torch.no_grad()
    def _over(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        parts = (_scaled({"x": part.to(self.model.device)})["x"] for part in torch.split(x, self.batch_size))
        return torch.cat([function(part).float().cpu() for part in parts])


def image_features(
    train_x: Tensor, train_y: Tensor, num_classes: int, labelled: bool, seed: int = 0, **options: Any
) -> ClassifierFeatures:
    """Features to measure pictures with, learnt from the real training rows alone; a handful of rows is enough to run.

    With labels of at least two classes, a classifier. Without, the same network taught to tell by how many quarter
    turns a picture was rotated: Gidaris et al. 2018, "Unsupervised Representation Learning by Predicting Image
    Rotations", section 2.

    Args:
        train_x: uint8 (N, C, S, S), N ≥ 1.
        train_y: int64 (N,), in [0, num_classes).
        num_classes: of the data.
        labelled: whether ``train_y`` means anything.
        seed: of the training.
        **options: of :func:`fit_classifier`.

    Raises:
        InputError: the tensors are not as above.
    """
    if labelled and len(torch.unique(train_y)) > 1:
        model = fit_classifier(train_x, train_y, num_classes, seed=seed, **options)
        return ClassifierFeatures(model, f"classifier-resnet{model.width}-on-real-train")
    model = fit_classifier(train_x, torch.zeros_like(train_y), 4, seed=seed, rotations=True, **options)
    return ClassifierFeatures(model, f"rotation-resnet{model.width}-on-real-train", labelled=False)


def _scaled(batch: Batch) -> Batch:
    """``x`` from uint8 to float32 in [-1, 1], before which it is four times as cheap to move and to keep."""
    return {**batch, "x": batch["x"] / 127.5 - 1}


def _rotated(batch: Batch) -> Batch:
    """Every picture four times, ``y`` the number of quarter turns."""
    x = torch.cat([batch["x"].rot90(turns, (2, 3)) for turns in range(4)])
    return {"x": x, "y": torch.arange(4, device=x.device).repeat_interleave(len(batch["x"]))}


def _device(accelerator: str) -> torch.device:
    if accelerator == "cpu":
        return torch.device("cpu")
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None and accelerator == "auto":
        return torch.device("cpu")
    if found is None or accelerator not in ("auto", "gpu", found.type):
        raise InputError(f"accelerator {accelerator!r} is not to be had here: use 'auto' or 'cpu'")
    return found


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
