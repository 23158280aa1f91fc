"""GANSampler: over-sampling by a GAN, where imbalanced-learn's samplers go."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_info
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

import ganaug.gans.timegan.model  # noqa: F401, a model to be named
from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.images.sources import ImageModule
from datamodules.options import BatchSize, Count, check
from datamodules.rows import Table
from datamodules.series.base import SeriesModule, SeriesRows
from datamodules.series.schema import SeriesSchema
from datamodules.text.schema import BLANK, TextSchema, build_vocabulary
from ganaug.gans.base import GAN
from ganaug.gans.dcgan.model import DCGAN
from ganaug.gans.loading import load
from ganaug.gans.r3gan.model import R3GAN
from ganaug.gans.seqgan.model import SeqGAN
from ganaug.runtime.devices import Accelerator, device_of, seeded
from ganaug.runtime.training import plain_trainer, without_messages
from ganaug.sampling.containers import as_array, as_bytes, decoded, extended, label_values, listed
from ganaug.sampling.dataset import packed, unpacked
from ganaug.sampling.drawing import draw_samples

Strategy = Literal["auto", "minority", "not minority", "not majority", "all"]
MODELS: dict[str, type[GAN]] = {"image": DCGAN, "text": SeqGAN, "series": R3GAN}
STEPS = {"image": 5000, "text": 2000, "series": 2000}  # of a model's last phase


class GANSampler(BaseEstimator):  # type: ignore[misc]
    """Raise rare classes by samples of a GAN trained on the rows at hand, as the samplers of imbalanced-learn do.

    It has ``fit_resample``, and ``get_params`` and ``set_params`` of scikit-learn, which is all that
    ``imblearn.pipeline.Pipeline`` asks for: there it resamples in ``fit`` and stands aside in ``predict``.
    imbalanced-learn itself is not needed.

    What X holds decides which model learns from it:

    - uint8 (N, H, W) or (N, H, W, C): pictures, by DCGAN; numbers of another type are never taken for pictures;
    - other numbers (N, T, F): series of T steps, by R3GAN;
    - a list, array or pandas Series of N strings: sentences, by SeqGAN.

    Numbers (N, D), as scikit-learn likes them, do not say what they are. With ``shape`` they are taken apart, given to
    the model as above, and samples laid flat again: ``(8, 8)`` for flattened pictures in uint8, ``(T, F)`` for series,
    ``(T,)`` where each row is a series of one measurement. Without it they are refused: of plain vectors SMOTE makes
    more.

    Args:
        model: the model, or its name; by default as above.
        options: of the model, such as ``{"width": 32}``.
        steps: batches to train for; by default 5,000 for pictures, and otherwise 2,000 of the model's last phase after
            those of the phases before it. With 40 digits of each class and 5 of two, 5,000 raised a logistic
            regression from 83 to 91 % right, classes alike, and 1,500 to 90 %; to weigh the classes raised it to 91 %.
        batch_size: rows a step.
        sampling_strategy: ``auto``, ``not majority`` or ``all``: every class up to the size of the largest;
            ``minority``: the rarest alone; ``not minority``: all others; a dict: class to the number of rows wanted,
            the real ones included, or a function that makes it of y; a number, for two classes: rows of the rarer for
            each of the other.
        shape: of a row, where X is (N, D).
        random_state: a number, a ``numpy.random.RandomState``, or None for another outcome every time.
        accelerator: auto, cpu, cuda, mps.
        checkpoint: of a model trained before, instead of training one. Classes are matched by name.
        verbose: 1 shows a progress bar of the training, which takes minutes; 0 one line.

    Attributes:
        model_: the model, after ``fit_resample``, on its device; None where no class wanted samples.
        sampling_strategy_: class to the number of samples that were made.
    """

    def __init__(
        self,
        model: type[GAN] | str | None = None,
        options: dict[str, Any] | None = None,
        steps: int | None = None,
        batch_size: int = 64,
        sampling_strategy: Strategy | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]] | float = "auto",
        shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        accelerator: Accelerator = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.options = options
        self.steps = steps
        self.batch_size = batch_size
        self.sampling_strategy = sampling_strategy
        self.shape = shape
        self.random_state = random_state
        self.accelerator = accelerator
        self.checkpoint = checkpoint
        self.verbose = verbose

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Train on the rows and make what is missing.

        Args:
            X: N rows, as above; also as a pandas Series or DataFrame.
            y: N labels of any kind that can be sorted.

        Returns:
            The rows and labels as they were, then the samples, class after class, in the same containers and types.

        Raises:
            InputError: rows, labels or an option cannot be used.
        """
        check("accelerator", self.accelerator, Accelerator)
        rows = as_array(X)
        values, ids = label_values(y, len(rows))
        missing = self._missing(values, np.bincount(ids, minlength=len(values)), y)
        self.sampling_strategy_ = {value: n for value, n in zip(values.tolist(), missing.tolist(), strict=True) if n}
        self.model_: GAN | None = None
        kind, rows = self._kind(rows)
        if isinstance(X, pd.DataFrame) and kind != "text":
            for column, dtype in X.dtypes.items():
                if isinstance(dtype, pd.CategoricalDtype):
                    raise InputError(f"X: the column {column} is categorical, and a sample may be none of its values")
        if not missing.sum():
            return X, y
        try:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        except ValueError as error:
            raise InputError(f"random_state: {error}") from None
        wanted = np.repeat(np.arange(len(values)), missing)  # (M,) class after class
        if self.checkpoint is None:
            names = _names(values)
            self.model_ = self._trained(kind, rows, ids, names, seed)
        else:
            self.model_ = load(self.checkpoint)
            names = _names(values, self.model_.schema.classes)
            _check_fits(self.model_, kind, rows, [names[c] for c in np.unique(wanted)])
            self.model_.to(device_of(self.accelerator))
        chosen = torch.tensor([self.model_.schema.classes.index(names[c]) for c in wanted])
        samples = draw_samples(self.model_, torch.arange(len(wanted)), chosen, seed)
        made = decoded(self.model_.schema, samples["x"], rows)
        return extended(X, made), extended(y, values[wanted])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        return state | ({"model_": packed(state["model_"])} if state.get("model_") is not None else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        there = state.get("model_") is not None
        super().__setstate__(state | ({"model_": unpacked(state["model_"])} if there else {}))

    # ---- how many ----------------------------------------------------------------------------------------------------

    def _missing(self, values: np.ndarray, have: np.ndarray, y: Any) -> np.ndarray:
        """How many samples of each class (K,), where there are ``have`` (K,) rows."""
        strategy = self.sampling_strategy
        strategy = strategy(y) if callable(strategy) else strategy
        if isinstance(strategy, Mapping):
            known = {value: k for k, value in enumerate(values.tolist())}
            missing = np.zeros_like(have)
            for label, wanted in strategy.items():
                if label not in known:
                    raise InputError(f"sampling_strategy: {label!r} is none of the classes {listed(values)}")
                if not isinstance(wanted, Real) or not have[known[label]] <= wanted < math.inf or wanted % 1:
                    raise InputError(
                        f"sampling_strategy: {wanted} rows asked of class {label}, which has {have[known[label]]}:"
                        " a GAN adds rows and takes none away"
                    )
                missing[known[label]] = wanted - have[known[label]]
            return missing
        if isinstance(strategy, str) and strategy in get_args(Strategy):
            rarest = np.arange(len(have)) == have.argmin()
            left = {"minority": ~rarest, "not minority": rarest}.get(strategy, np.zeros_like(rarest))
            return np.where(left, 0, have.max() - have)
        if isinstance(strategy, bool) or not isinstance(strategy, Real) or not 0 < strategy <= 1:
            raise InputError(
                f"sampling_strategy must be {', '.join(get_args(Strategy))}, a dict of class and rows wanted, or a"
                f" number above 0 and at most 1, not {strategy!r}"
            )
        if len(values) != 2:
            raise InputError(f"sampling_strategy: {strategy} is for two classes, y has {len(values)}: give a dict")
        missing = np.zeros_like(have)
        rare = int(have.argmin())
        missing[rare] = int(strategy * have.max()) - have[rare]
        if missing[rare] < 0:
            raise InputError(
                f"sampling_strategy: class {values[rare]} has {have[rare]} rows, more than {strategy} of"
                f" {have.max()}: a GAN adds rows and takes none away"
            )
        return missing

    # ---- of what -----------------------------------------------------------------------------------------------------

    def _kind(self, rows: np.ndarray) -> tuple[str, np.ndarray]:
        """Kind of data, and the rows as its model wants them: (N, H, W, C), (N, T, F) or (N,)."""
        chosen = self._model()
        if rows.dtype.kind in "OUS":
            if rows.ndim == 2 and rows.shape[1] == 1:
                rows = rows[:, 0]
            odd = next((i for i, text in enumerate(rows.tolist()) if not isinstance(text, str)), None)
            if odd is not None or rows.ndim != 1:
                raise InputError(
                    f"X: row {odd} is no string: give a list of strings, or an array of numbers"
                    if rows.ndim == 1
                    else f"X {rows.shape} is an array of objects: give a list of strings, or an array of numbers"
                )
            kind = "text"
        else:
            rows = self._apart(rows)
            flat = self.shape is not None and len(self._shape) == 1  # which says that each row is a series
            kind = "image" if rows.dtype == np.uint8 and rows.ndim in (3, 4) and not flat else "series"
        if chosen is not None and kind not in chosen.schema_kinds:
            of = "uint8 (N, H, W) or (N, H, W, C)" if "image" in chosen.schema_kinds else "see GANSampler"
            raise InputError(
                f"X {rows.shape} of {rows.dtype} holds {kind} data, {chosen.__name__} learns from"
                f" {' or '.join(chosen.schema_kinds)} data ({of})"
            )
        if kind == "image" and rows.ndim == 3:
            rows = rows[..., None]
        if kind == "series" and rows.ndim != 3:
            raise InputError(f"X {rows.shape} of {rows.dtype}: pictures must be uint8, 0 to 255: convert them")
        two = (self.shape is None and rows.ndim == 3) or len(self._shape) == 2
        if kind == "series" and two and chosen is None and self.checkpoint is None and (hint := as_bytes(rows)):
            warnings.warn(
                f"X {rows.shape} of {rows.dtype} is taken for series of {rows.shape[1]} steps of {rows.shape[2]}"
                f" measurements; if they are pictures, give uint8: {hint}",
                stacklevel=3,
            )
        if kind == "image" and (peak := int(rows.max(initial=0))) < 128:
            warnings.warn(
                f"X: no pixel is above {peak}, where white is 255: samples may be brighter than any row; stretch the"
                f" range, such as X * {255 // max(1, peak)}, and shrink it again",
                stacklevel=3,
            )
        return kind, rows

    def _apart(self, rows: np.ndarray) -> np.ndarray:
        """Rows of numbers in their shape, checked."""
        if rows.dtype.kind not in "iuf":
            raise InputError(f"X of {rows.dtype}: give numbers or strings")
        if 0 in rows.shape:
            raise InputError(f"X {rows.shape}: there are no numbers in its rows")
        if not np.isfinite(rows).all():
            bad = int(np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(1))[0])
            raise InputError(f"X: NaN or infinity in row {bad}: fill or leave out what is missing")
        if rows.ndim != 2:
            if self.shape is not None:
                raise InputError(f"shape is for X of two dimensions, not {rows.shape}: leave it out")
            if rows.ndim not in (3, 4):
                raise InputError(f"X {rows.shape}: give (N, H, W[, C]) uint8, (N, T, F), or (N, D) and shape")
            return rows
        if self.shape is None:
            raise InputError(
                f"X {rows.shape} may be plain vectors, of which imblearn.over_sampling.SMOTE makes more: for series of"
                f" one measurement give shape=({rows.shape[1]},), for flattened pictures or series their shape"
            )
        shape = self._shape
        whole = all(isinstance(size, Integral) and int(size) > 0 for size in shape)
        if not 1 <= len(shape) <= 3 or not whole or int(np.prod(shape)) != rows.shape[1]:
            raise InputError(f"shape {self.shape!r} does not fit rows of {rows.shape[1]} numbers")
        return rows.reshape(len(rows), *(shape if len(shape) > 1 else (*shape, 1)))

    @property
    def _shape(self) -> tuple[Any, ...]:
        return (self.shape,) if isinstance(self.shape, Integral | str) else tuple(self.shape or ())

    def _model(self) -> type[GAN] | None:
        """The model asked for, if any."""
        if self.checkpoint is not None and (self.model, self.options, self.steps) != (None, None, None):
            raise InputError("a checkpoint says which model: leave out model, options and steps, or the checkpoint")
        if self.model is None:
            return None
        found = GAN.models.get(self.model) if isinstance(self.model, str) else self.model
        if not (isinstance(found, type) and issubclass(found, GAN)):
            raise InputError(f"model must be one of {', '.join(GAN.models)}, not {self.model}")
        return found

    def _trained(self, kind: str, rows: np.ndarray, y: np.ndarray, names: tuple[str, ...], seed: int) -> GAN:
        """A model trained on the rows."""
        check("steps", self.steps, Count | None)
        check("batch_size", self.batch_size, BatchSize)
        whole = {"batch_size": self.batch_size, "seed": seed, "val_fraction": 0.0, "test_fraction": 0.0}
        data = SOURCES[kind](rows, y, names, **whole, balance=True)  # of what is rare it is to learn enough too
        chosen = self._model() or MODELS[kind]
        try:
            model = chosen(data.schema, **{"seed": seed, **(self.options or {})})
        except TypeError as error:
            why = f"{chosen.__name__}, which learns from {kind} data, as X is taken for"
            raise InputError(f"options: {' '.join(str(error).split())} ({why})") from None
        if not model.conditional:
            raise InputError(f"options: a {chosen.__name__} without classes cannot raise one: make it conditional")
        steps = model.steps_before_last + STEPS[kind] if self.steps is None else self.steps
        try:
            own: dict[str, Any] = {"devices": 1, "limit_val_batches": 0, "plugins": [LightningEnvironment()]}
            own["enable_progress_bar"] = bool(self.verbose)
            with without_messages():
                trainer = plain_trainer(accelerator=self.accelerator, max_steps=steps, max_epochs=-1, **own)
        except InputError as error:
            raise InputError(f"accelerator: {error}") from None
        device = trainer.strategy.root_device
        rank_zero_info(f"GANSampler: {chosen.__name__} learns for {steps} batches from {len(rows)} rows, {kind} data")
        with seeded(seed, device), without_messages():  # training leaves the process as it was
            trainer.fit(model, data)
        return model.eval().to(device)  # from where Lightning has moved it to the CPU


def _names(values: np.ndarray, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the classes of labels (K,): 1.0 as 1, since whole labels become such in a table with gaps."""

    def name(value: Any) -> str:
        whole = isinstance(value, float) and value % 1 == 0 and str(value) not in known
        return f"{value:.0f}" if whole else str(value)

    return tuple(map(name, values.tolist()))


def _check_fits(model: GAN, kind: str, rows: np.ndarray, names: list[str]) -> None:
    """Refuse a model that makes other rows than these."""
    schema = model.schema
    if schema.kind != kind:
        raise InputError(f"checkpoint: its {type(model).__name__} makes {schema.kind} data, X holds {kind} data")
    unknown = [name for name in names if name not in schema.classes]
    if not model.conditional or unknown:
        knows = listed(np.array(schema.classes)) if model.conditional else "none"
        raise InputError(f"checkpoint: samples of class {(unknown or names)[0]} are wanted, its model knows {knows}")
    size: tuple[int, ...] = rows.shape[1:]
    if isinstance(schema, ImageSchema):
        size = schema.height, schema.width, schema.channels
    elif isinstance(schema, SeriesSchema):
        if not schema.fixed:
            raise InputError("checkpoint: its series differ in length, those of X do not")
        size = schema.length, schema.features
    if size != rows.shape[1:]:
        raise InputError(f"checkpoint: its model makes rows of {size}, X has rows of {rows.shape[1:]}")


# ---- rows in memory as sources ---------------------------------------------------------------------------------------


class _Pictures(ImageModule):
    """uint8 (N, H, W, C), of which the networks see at least 16×16: at 8 there is but one halving."""

    def __init__(self, rows: np.ndarray, y: np.ndarray, classes: tuple[str, ...], **options: Any) -> None:
        height, width, channels = rows.shape[1:]
        if max(height, width) <= 8:
            options |= {"image_size": 16, "fit": "resize" if 16 % height == 16 % width == 0 else "pad"}
        super().__init__(**options)
        self._rows, self._y = rows, y
        self.schema = self._describe(height, width, channels, classes)

    def load(self) -> tuple[Table, None]:
        return self._table(self._rows, self._y), None


class _Sentences(GANDataModule):
    """N strings, in words."""

    def __init__(self, rows: np.ndarray, y: np.ndarray, classes: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        plain = TextSchema(**BLANK)
        texts = [plain.normalise(text) for text in rows.tolist()]
        if "" in texts:
            raise InputError(f"X: row {texts.index('')} is an empty sentence: leave it out")
        vocabulary, _ = build_vocabulary(texts, "word", 1, 0)
        words = TextSchema(classes=classes, vocabulary=tuple(vocabulary), max_length=1)
        self._ids, self._y = [words.ids(text) for text in texts], y
        longest = max(map(len, self._ids))
        self.schema = TextSchema(classes=classes, vocabulary=words.vocabulary, max_length=longest + 1)

    def load(self) -> tuple[Table, None]:
        assert isinstance(self.schema, TextSchema)
        x, length = self.schema.pad(self._ids)
        return Table({"x": x, "length": length, "y": torch.from_numpy(self._y)}), None


class _Series(SeriesModule):
    """Numbers (N, T, F)."""

    def __init__(self, rows: np.ndarray, y: np.ndarray, classes: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        count, steps, features = rows.shape
        held = SeriesRows(rows.astype(np.float64), np.full(count, steps), y)
        columns = tuple(f"column_{k}" for k in range(features))
        self.describe(held, None, columns, classes=classes, dtypes=(str(rows.dtype),) * features)


SOURCES: dict[str, Any] = {"image": _Pictures, "text": _Sentences, "series": _Series}
