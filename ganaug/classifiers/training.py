"""Train a classifier on rows, to judge samples with or to learn from them; what it has learnt to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from rich.progress import track
from torch import Tensor

from datamodules.base import Stream
from datamodules.errors import InputError
from datamodules.rows import Table
from datamodules.schema import Batch, Schema
from ganaug.classifiers.base import PRETEXTS, Classifier, Fields
from ganaug.kind import kind_of
from ganaug.runtime.devices import device_of, multiplies_bf16, placed, seeded

Precision = Literal["32-true", "bf16-mixed"]


def fit_classifier(
    schema: Schema,
    rows: Batch,
    *,
    steps: int | None = None,
    batch_size: int = 128,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Precision | None = None,
    progress: bool = False,
    pretext: bool = False,
    curriculum: float = 0.0,
    **options: Any,
) -> Classifier:
    """Train the classifier of the schema's kind for a fixed number of steps, looking at nothing but the given rows.

    A plain loop, no ``Trainer``: it also runs inside one, on one rank of many, and leaves the process as it was. The
    global random state is put back, and the same seed on the same machine gives the same weights on a CPU. On a GPU
    chance is the same, the order of sums may not be.

    Args:
        schema: of the rows, which has a class id for every label, also for those without a row.
        rows: N ≥ 1 of them as they are stored. Pictures: ``x`` uint8 (N, C, H, W). Sentences: ``x`` int64 (N, T),
            ``length`` int64 (N,). And ``y`` int64 (N,), which ``pretext`` does without; ``synthetic`` bool (N,), where
            some are samples.
        steps: batches; by default 300 and 3 passes over the rows. Give it where two runs are to be compared.
        batch_size: rows per step, also where there are fewer rows: a batch then holds some of them twice.
        seed: of the weights, the order of the rows and whatever else is random in training.
        accelerator: ``auto``, ``cpu``, ``cuda``, ``mps`` (or ``gpu`` for what there is of the two).
        precision: by default bf16 autocast where that is faster, else float32.
        progress: show a progress bar.
        pretext: teach it a task that needs no labels instead; a batch is a quarter as many rows.
        curriculum: share of the steps, the last ones, that see no synthetic rows.
        **options: of the classifier.

    Returns:
        The classifier, on the device it was trained on, in evaluation mode.

    Raises:
        InputError: there is no classifier for such data, or the rows are not as above.
    """
    network = kind_of(schema).classifier
    _check(rows, network.fields(schema), None if pretext else schema.num_classes)
    count = len(rows["x"])
    device = device_of(accelerator)
    steps = steps or 300 + round(3 * count / batch_size)
    share = PRETEXTS if pretext else 1  # of a batch that is one row
    order = torch.tensor(list(Stream(count, batch_size // share, steps, seed, 0, 1))).view(steps, -1)
    real = (~rows.get("synthetic", torch.zeros(count, dtype=torch.bool))).nonzero()[:, 0]
    last = round(curriculum * steps)
    if last and 0 < len(real) < count:
        order[-last:] = real[list(Stream(len(real), batch_size // share, last, seed, 0, 1))].view(last, -1)
    rows = placed(rows, device)
    order = order.to(rows["x"].device)
    with torch.inference_mode(False), torch.enable_grad(), seeded(seed, device):
        classes = PRETEXTS if pretext else schema.num_classes
        model: Classifier = network(schema, classes, steps=steps, **options).to(device)
        bf16 = precision == "bf16-mixed" or (precision is None and model.bf16 and multiplies_bf16(device))
        training = model.configure_optimizers()
        optimizer, schedule = training["optimizer"], training["lr_scheduler"]["scheduler"]
        for index in track(order, "classifier", disable=not progress):
            # Prepared here: stored rows are cheaper to move and to keep.
            batch = schema.prepare({name: field[index].to(device) for name, field in rows.items()})
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = model.loss(model.pretext(batch) if pretext else batch)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model.eval()


class ClassifierFeatures:
    """What a classifier trained on the real training rows sees in others: the features that distances are taken in.

    Args:
        model: the classifier.
        name: says in a results table where the features came from.
        labelled: whether it tells the classes of the data apart, or else those of its pretext task.
        batch_size: rows at a time.
    """

    def __init__(self, model: Classifier, name: str, labelled: bool = True, batch_size: int = 512) -> None:
        self.model, self.name, self.labelled, self.batch_size = model.eval(), name, labelled, batch_size

    def __call__(self, rows: Batch) -> Tensor:
        """N ≥ 1 rows as they are stored to features float32 (N, d) on the CPU."""
        return self._over(rows, self.model.features)

    def predict(self, rows: Batch) -> Tensor:
        """N ≥ 1 rows as they are stored to class ids int64 (N,); of the pretext task where not ``labelled``."""
        return self._over(rows, self.model).argmax(1)

    def probabilities(self, rows: Batch) -> Tensor:
        """N ≥ 1 rows as they are stored to float32 (N, classes), each row's sum 1."""
        return self._over(rows, self.model).softmax(1)

    def accuracy(self, rows: Batch) -> float:
        """Share of N ≥ 1 rows as they are stored whose class id is their ``y``."""
        return float((self.predict(rows) == rows["y"].cpu()).double().mean())

    @torch.no_grad()
    def _over(self, rows: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        batches = (
            {name: field.to(self.model.device) for name, field in batch.items()}
            for batch in Table(rows).batches(self.batch_size)
        )
        return torch.cat([function(self.model.schema.prepare(batch)).float().cpu() for batch in batches])


def fit_features(schema: Schema, rows: Batch, seed: int = 0, **options: Any) -> ClassifierFeatures:
    """Features to measure samples with, learnt from the real training rows alone; a handful of rows is enough to run.

    With labels of at least two classes, a classifier. Without, the same network taught the pretext task of its kind:
    see :class:`~ganaug.classifiers.ImageClassifier` and :class:`~ganaug.classifiers.TextClassifier`.

    Args:
        schema: of the rows.
        rows: N ≥ 1 of them as they are stored.
        seed: of the training.
        **options: of :func:`fit_classifier`.

    Raises:
        InputError: see :func:`fit_classifier`.
    """
    labelled = schema.labelled and len(torch.unique(rows["y"])) > 1
    model = fit_classifier(schema, rows, seed=seed, pretext=not labelled, **options)
    title = model.title if labelled else model.pretext_title
    return ClassifierFeatures(model, f"{title}-on-real-train", labelled)


def check_fields(wanted: str, rows: Batch, fields: Fields, least: int = 0) -> None:
    """Refuse rows, of which ``wanted`` says what for, whose fields are not of these types and shapes behind N."""
    count = len(rows.get("x", ()))
    for name, (dtype, shape) in fields.items():
        field = rows.get(name)
        if field is None or field.dtype != dtype or tuple(field.shape) != (count, *shape) or count < least:
            its = f"{name} {dtype} {('N', *shape)}".replace("'", "").replace(",)", ")")
            found = "there is none" if field is None else f"not {field.dtype} {tuple(field.shape)}"
            raise InputError(f"{wanted}: {its}, {found}")


def _check(rows: Batch, fields: Fields, num_classes: int | None) -> None:
    """Refuse rows that are not as ``fields`` says; and labels other than ``num_classes`` of them, unless None."""
    labels = {} if num_classes is None else {"y": (torch.int64, ())}
    check_fields("a classifier needs N ≥ 1 rows of the same fields", rows, fields | labels, 1)
    if num_classes is not None and not 0 <= int(rows["y"].min()) <= int(rows["y"].max()) < num_classes:
        least, most = int(rows["y"].min()), int(rows["y"].max())
        raise InputError(f"labels run from {least} to {most}, but there are {num_classes} classes")
