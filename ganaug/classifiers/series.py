"""InceptionTime for series of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.classifiers.base import PRETEXTS, Change, Classifier, Fields
from ganaug.classifiers.inception_time import InceptionTime
from ganaug.classifiers.mixing import mixup
from ganaug.classifiers.series_augmentation import jitter, magnitude_warped, scaled, sliced, time_warped, transformed


def half(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Change:
    """The change of what is measured in series (B, T, F) of some length (B,), made to half of a batch; times stay."""

    def changed(batch: Batch, schema: SeriesSchema) -> Batch:
        x = batch["x"]
        chosen = (torch.rand(len(x), 1, 1).to(x.device) < 0.5).repeat(1, 1, x.shape[2])
        chosen[..., 0] &= not schema.intervals
        made = change(x, batch["length"], torch.tensor(schema.measured, device=x.device))
        return {**batch, "x": torch.where(chosen, made, x)}

    return changed


class SeriesClassifier(Classifier):
    """A small InceptionTime: see :class:`~ganaug.classifiers.inception_time.InceptionTime`.

    Batches are ``x`` float32 (B, T, F), ``length`` int64 (B,) and ``y`` int64 (B,); what stands beyond a series' length
    is never looked at; nor are static attributes, and which values were missing.

    Classical augmentation is of five sorts, each done to half of the series: see
    :mod:`ganaug.classifiers.series_augmentation`; on request it mixes them: see :mod:`ganaug.classifiers.mixing`. The
    pretext task is to tell what was done to a series: nothing, turned backwards, turned upside down, pieces permuted:
    see :func:`~ganaug.classifiers.series_augmentation.transformed`.

    Args:
        schema: of the series.
        num_classes: of the answer; by default those of the schema.
        steps, learning_rate, weight_decay, label_smoothing, augment: see :class:`Classifier`.
        width: channels of each convolution; there are 4 × width features where T ≥ 19.
        depth: number of modules.
        kernels: widths of the convolutions, odd numbers; those longer than T are left out.
        dropout: share of the features left out in training, in [0, 1).
    """

    bf16 = False
    title = "inceptiontime"
    pretext_title = "transformation-inceptiontime"
    changes = {
        "slice": half(sliced),
        "time_warp": half(time_warped),
        "magnitude_warp": half(magnitude_warped),
        "scale": half(scaled),
        "jitter": half(jitter),
        "mixup": mixup,
    }

    def __init__(
        self,
        schema: SeriesSchema,
        num_classes: int | None = None,
        steps: int = 1000,
        width: int = 16,
        depth: int = 2,
        kernels: tuple[int, ...] = (5, 9, 19),
        dropout: float = 0.3,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.0,
        augment: bool | Sequence[str] = False,
    ) -> None:
        super().__init__(schema, steps, learning_rate, weight_decay, label_smoothing, augment)
        self.save_hyperparameters(ignore="schema")
        kernels = tuple(k for k in kernels if k <= schema.length) or (1,)
        self.body = InceptionTime(schema.features, width, depth, kernels)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.body.features, num_classes or schema.num_classes))

    @staticmethod
    def usual(schema: SeriesSchema) -> tuple[str, ...]:
        """All but what mixes series."""
        return tuple(name for name in SeriesClassifier.changes if name != "mixup")

    @staticmethod
    def fields(schema: SeriesSchema) -> Fields:
        """Scaled numbers and the number of steps."""
        return {"x": (torch.float32, (schema.length, schema.features)), "length": (torch.int64, ())}

    def features(self, batch: Batch) -> Tensor:
        """(B, 4 × width), at least 0."""
        features: Tensor = self.body(batch["x"], batch["length"])
        return features

    def pretext(self, batch: Batch) -> Batch:
        """Every series four times, ``y`` what was done to it."""
        x = torch.cat(transformed(batch["x"], batch["length"]))
        y = torch.arange(PRETEXTS, device=x.device).repeat_interleave(len(batch["x"]))
        return {"x": x, "length": batch["length"].repeat(PRETEXTS), "y": y}
