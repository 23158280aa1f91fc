"""The models that the augmentation study trains: ours, anybody's LightningModule, or an estimator of scikit-learn."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningModule
from sklearn.base import BaseEstimator, clone, is_regressor
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.base import Stream, as_is
from datamodules.errors import InputError, reason_of
from datamodules.rows import Table
from datamodules.schema import Batch, Schema
from ganaug.classifiers import Classifier
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier
from ganaug.kind import kind_of
from ganaug.runtime.devices import seeded
from ganaug.runtime.outside import behind, path_of
from ganaug.runtime.training import plain_trainer

Predict = Callable[[Batch], Tensor]  # N rows as they are stored to the classes' probabilities float32 (N, C)
BATCH = 128  # rows a step, in every arm


class Learner(Protocol):
    """Learns classes from rows."""

    @property
    def augments(self) -> bool:
        """Whether it knows classical augmentation."""

    @property
    def stepped(self) -> bool:
        """Whether it is trained for a number of steps."""

    def describe(self) -> dict[str, Any]:
        """What it is, in values fit for JSON: two that answer alike learn alike."""

    def learn(self, schema: Schema, rows: Batch, steps: int, seed: int, augment: bool) -> Predict:
        """Train on rows as they are stored, and on nothing else.

        Args:
            schema: of the rows.
            rows: N ≥ 1 of them; ``synthetic`` bool (N,) says which are samples, where some are.
            steps: batches of 128.
            seed: of all that is random.
            augment: classical augmentation of every batch.
        """


@dataclass(frozen=True)
class Network:
    """The classifier of the data's kind.

    Args:
        options: of it, such as its width and learning rate, as pairs.
        label_smoothing: see :class:`~ganaug.classifiers.Classifier`.
        classical: changes that classical augmentation makes.
        curriculum: see :func:`~ganaug.classifiers.training.fit_classifier`.
        accelerator: see :func:`~ganaug.classifiers.training.fit_classifier`.
    """

    options: tuple[tuple[str, Any], ...] = ()
    label_smoothing: float = 0.0
    classical: tuple[str, ...] = ()
    curriculum: float = 0.0
    accelerator: str = "auto"

    augments = True
    stepped = True

    def describe(self) -> dict[str, Any]:
        """Its options."""
        own = {name: getattr(self, name) for name in ("label_smoothing", "classical", "curriculum")}
        return {"class": "the kind's own", **dict(self.options), **own}

    def learn(self, schema: Schema, rows: Batch, steps: int, seed: int, augment: bool) -> Predict:
        """By :func:`~ganaug.classifiers.training.fit_classifier`."""
        options = {"accelerator": self.accelerator, "label_smoothing": self.label_smoothing, **dict(self.options)}
        options |= {"augment": self.classical if augment else (), "curriculum": self.curriculum}
        model = fit_classifier(schema, rows, steps=steps, batch_size=BATCH, seed=seed, **options)
        return ClassifierFeatures(model, "").probabilities


@dataclass(frozen=True)
class Module:
    """A LightningModule that is trained by a Trainer and whose ``forward(batch)`` gives logits (B, classes).

    Args:
        make: the module from the schema.
        accelerator: of the Trainer.
    """

    make: Callable[[Schema], LightningModule]
    accelerator: str = "auto"

    augments = False
    stepped = True

    def describe(self) -> dict[str, Any]:
        """Class and options, where they can be known."""
        made, options = behind(self.make)
        return {"class": path_of(made), **_plain(options)}

    def learn(self, schema: Schema, rows: Batch, steps: int, seed: int, augment: bool) -> Predict:
        """As many batches as steps, prepared by the schema; the global random state is put back."""
        stream = Stream(len(rows["y"]), BATCH, steps, seed, 0, 1)
        rows = {name: field for name, field in rows.items() if name != "synthetic"}
        batches = DataLoader(Table(rows, schema.prepare), sampler=stream, batch_size=BATCH, collate_fn=as_is)
        own: dict[str, Any] = {"devices": 1, "plugins": [LightningEnvironment()]}
        trainer = plain_trainer(accelerator=self.accelerator, max_epochs=1, limit_val_batches=0, **own)
        device = trainer.strategy.root_device
        with seeded(seed, device):
            module = self.make(schema)
            trainer.fit(module, batches)
        module.eval().to(device)  # from where Lightning has moved it to the CPU
        return lambda asked: self._predict(module, schema, asked)

    @torch.no_grad()
    def _predict(self, module: LightningModule, schema: Schema, rows: Batch) -> Tensor:
        answers = []
        for batch in Table(rows, schema.prepare).batches():
            logits = module({name: field.to(module.device) for name, field in batch.items()})
            shape = tuple(getattr(logits, "shape", ()))
            if shape != (len(batch["y"]), schema.num_classes):
                raise InputError(
                    f"classifier: forward of {type(module).__name__} must give logits"
                    f" ({len(batch['y'])}, {schema.num_classes}) for {len(batch['y'])} rows, not {shape}"
                )
            answers.append(logits.float().softmax(1).cpu())
        return torch.cat(answers)


@dataclass(frozen=True)
class Estimator:
    """An estimator of scikit-learn, trained to its own end.

    It sees pictures and series as rows of floats, as networks see them but flattened, and sentences as strings.

    Args:
        estimator: not trained; a copy is, every time.
    """

    estimator: Any

    augments = False
    stepped = False

    def describe(self) -> dict[str, Any]:
        """Its class and all its options, those of its parts among them."""
        options = self.estimator.get_params(deep=False) if hasattr(self.estimator, "get_params") else {}
        return {"class": path_of(type(self.estimator)), **_plain(options)}

    def learn(self, schema: Schema, rows: Batch, steps: int, seed: int, augment: bool) -> Predict:
        """``fit``, with the seed wherever it has a ``random_state`` that nobody set."""
        estimator = clone(self.estimator)
        free = [k for k, v in estimator.get_params().items() if k.split("__")[-1] == "random_state" and v is None]
        estimator.set_params(**dict.fromkeys(free, seed % 2**32))
        try:
            estimator.fit(kind_of(schema).inputs(schema, rows), rows["y"].numpy())
        except (ValueError, TypeError, AttributeError) as error:
            seen = kind_of(schema).inputs(schema, {name: field[:1] for name, field in rows.items()})
            given = "rows of numbers" if isinstance(seen, np.ndarray) else "sentences, which it is given as strings"
            reason = reason_of(error)[:300]
            raise InputError(f"classifier: {path_of(type(estimator))} cannot learn from {given}: {reason}") from None
        return lambda asked: self._predict(estimator, schema, kind_of(schema).inputs(schema, asked))

    @staticmethod
    def _predict(estimator: Any, schema: Schema, x: Any) -> Tensor:
        """As the estimator says; 1 for the class that it chooses where it knows no probabilities, or they say another.

        Those of ``SVC`` may: they come from a cross-validation of its own.
        """
        said = np.asarray(estimator.predict(x))
        if said.shape != (len(x),) or not np.isin(said, np.arange(schema.num_classes)).all():
            raise InputError(
                f"classifier: predict of {path_of(type(estimator))} must give a class of 0 to {schema.num_classes - 1}"
                f" for each of {len(x)} rows, not {' '.join(str(said[:3]).split())}…"
            )
        chosen = torch.from_numpy(said.astype(np.int64))
        sure = F.one_hot(chosen, schema.num_classes).float()
        if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
            return sure
        known = torch.from_numpy(np.asarray(estimator.classes_, dtype=np.int64))  # classes that it was given rows of
        answers = torch.zeros(len(x), schema.num_classes)
        answers[:, known] = torch.from_numpy(np.asarray(estimator.predict_proba(x), dtype=np.float32))
        return torch.where((answers.argmax(1) == chosen)[:, None], answers, sure)


@runtime_checkable
class Classifies(Protocol):
    """A classifier as scikit-learn has them, from whatever library."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn labels ``y`` (N,) of rows ``X`` (N, d)."""

    def predict(self, X: Any) -> Any:
        """Labels (N,) of rows ``X`` (N, d)."""


def as_learner(
    classifier: Any,
    schema: Schema,
    label_smoothing: float,
    classical: Sequence[str] | None,
    curriculum: float,
    accelerator: str,
) -> Learner:
    """The learner of what was given as a classifier: nothing, an estimator, or what makes a LightningModule.

    Raises:
        InputError: it is none of these, there is no such change, or an option is given for one that is not ours.
    """
    network = kind_of(schema).classifier
    made, options = (network, {}) if classifier is None else behind(classifier)
    if classical is not None and not classical:
        raise InputError("classical: name a change, or leave it out, and the arms with classical by --arms")
    if made is network:
        changes = network.chosen_changes(schema, True if classical is None else classical)
        return Network(_own(network, options), label_smoothing, changes, curriculum, accelerator)
    own = {"label_smoothing": label_smoothing, "classical": classical, "curriculum": curriculum}
    for name, given in own.items():
        if given:
            raise InputError(f"{name} is an option of the classifier of the data's kind: set it in your own")
    if isinstance(classifier, BaseEstimator) and is_regressor(classifier):
        raise InputError(f"classifier: {type(classifier).__name__} is a regressor, which knows no classes")
    if isinstance(classifier, Classifies) and not isinstance(classifier, type):
        return Estimator(classifier)
    if callable(classifier) and not isinstance(classifier, LightningModule):
        return Module(classifier, accelerator)
    raise InputError(
        "classifier must be an estimator of scikit-learn, or a class or function that makes a LightningModule from a"
        f" schema, not {type(classifier).__name__}"
    )


def _own(network: type[Classifier], options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The options of the kind's classifier that are not its defaults.

    Raises:
        InputError: one of them is for the study to set.
    """
    known = inspect.signature(network).parameters
    if unknown := [name for name in options if name not in known]:
        raise InputError(f"classifier: {network.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}")
    chosen = {name: value for name, value in options.items() if value != known[name].default}
    for name, instead in {"num_classes": "the data", "steps": "classifier_steps", "augment": "classical"}.items():
        if name in chosen:
            raise InputError(f"classifier: {name} is not its own here: {instead} says it")
    if "label_smoothing" in chosen:
        raise InputError("classifier: label_smoothing is the study's own option: of the labels of samples alone")
    return tuple(chosen.items())


def _plain(value: Any) -> Any:
    """A value so that equal ones look alike in every process, and none is cut short, fit for JSON."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_plain(part) for part in value]
        return sorted(parts, key=str) if isinstance(value, set | frozenset) else parts
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return value.tolist()
    if hasattr(value, "__qualname__"):
        return path_of(value)
    if isinstance(value, functools.partial):
        return {"class": path_of(value.func), "args": _plain(value.args), **_plain(value.keywords)}
    options = value.get_params(deep=False) if hasattr(value, "get_params") else getattr(value, "__dict__", {})
    return {"class": path_of(type(value)), **_plain(options)}
