"""Which samples to keep before anything learns from them: by the discriminator, by a classifier, by their neighbours.

Each filter is a pure function that answers with a mask, True where a sample stays, and with figures that say why others
go. Features and classes are those of a classifier that has seen the real training rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from datamodules.errors import InputError, named_once
from datamodules.rows import Table, contents
from datamodules.schema import Batch
from ganaug.classifiers.training import ClassifierFeatures, check_fields
from ganaug.gans.base import GAN
from ganaug.gans.randomness import stream_seed
from ganaug.metrics.distance import blocks_of, nearest, radii, squared_distances_to

Figures = dict[str, float | int]
Verdict = tuple[Tensor, Figures]


def filter_samples(
    names: Sequence[str],
    synthetic: Batch,
    *,
    model: GAN,
    judge: ClassifierFeatures,
    train: Batch,
    seed: int,
    held_out: Batch | None = None,
) -> tuple[Batch, dict[str, Figures]]:
    """Put samples through filters, one after the other; each sees what the one before has left.

    Args:
        names: of :data:`FILTERS`, in order, each at most once.
        synthetic: samples as rows are stored (``model.schema.stored`` of what it draws), ``y`` the classes asked for.
        model: the GAN that made them.
        judge: trained on ``train``; with labels where ``agreement`` is among the names.
        train: the real training rows as they are stored, at least one.
        seed: of what is random. The global random state is neither read nor moved.
        held_out: real rows that neither the GAN nor the judge was trained on, such as the validation split: they show
            how far unseen real rows lie from the training rows, and what the discriminator makes of them. With none,
            the training rows stand in for them.

    Returns:
        The samples that were kept, as they were and in their order, perhaps none; and for each filter in order ``in``,
        the number of samples it was given, ``dropped``, how many of them it took away, and its own figures.

    Raises:
        InputError: an unknown or repeated name, rows that do not fit each other, a judge that was not taught the
            classes.
    """
    names = named_once("filters", [names] if isinstance(names, str) else names, FILTERS)
    fields = {**judge.model.fields(judge.model.schema), "y": (torch.int64, ())}
    fresh_rows = held_out if held_out is not None and len(held_out["y"]) else train
    for what, rows in (("samples", synthetic), ("training rows", train), ("held-out rows", fresh_rows)):
        check_fields(f"filters need {what} as they are stored", rows, fields)
    if not len(train["y"]):
        raise InputError("filters need at least one training row to compare samples with")
    report: dict[str, Figures] = {}
    real = Evidence(train, model, judge, seed)
    fresh = real if fresh_rows is train else Evidence(fresh_rows, model, judge, seed)
    made = Evidence(synthetic, model, judge, seed)
    for name in names:
        count = len(made.y)
        report[name] = {"in": count, "dropped": 0}
        if count:
            keep, figures = FILTERS[name](made, real, fresh)
            made = made.kept(keep)
            report[name] |= {"dropped": count - int(keep.sum()), **figures}
    return made.rows, report


class Evidence:
    """Rows as they are stored and what the two networks say of them, computed when it is first asked for."""

    def __init__(self, rows: Batch, model: GAN, judge: ClassifierFeatures, seed: int) -> None:
        self.rows, self.y = rows, rows["y"].cpu()  # (N,)
        self.model, self.judge, self.seed = model, judge, seed

    def kept(self, mask: Tensor) -> Evidence:
        """Of the rows where the mask (N,) is True, with what is known of them already."""
        rows = {name: field[mask.to(field.device)] for name, field in self.rows.items()}
        other = Evidence(rows, self.model, self.judge, self.seed)
        known = ("features", "classes", "logits")
        vars(other).update({name: value[mask] for name, value in vars(self).items() if name in known})
        return other

    @cached_property
    def features(self) -> Tensor:
        """The judge's features (N, d)."""
        return self.judge(self.rows)

    @cached_property
    def classes(self) -> Tensor:
        """The judge's logits (N, classes)."""
        head = self.judge.model.head
        with torch.no_grad():
            logits: Tensor = head(self.features.to(self.judge.model.device)).float().cpu()
        return logits

    @cached_property
    def logits(self) -> Tensor:
        """The logits (N,) of the GAN's discriminator."""
        prepare = self.model.schema.prepare
        return torch.cat([self.model.logits(prepare(batch)).cpu() for batch in Table(self.rows).batches()])

    @cached_property
    def contents(self) -> list[bytes]:
        """What tells a sample from a copy: a series with other attributes is still a copy."""
        return contents(self.rows, ("x", "length"))


# ---- the filters -----------------------------------------------------------------------------------------------------


def rejection_sampled(
    logits: Tensor,
    y: Tensor,
    real_logits: Tensor,
    real_y: Tensor,
    seed: int = 0,
    quantile: float = 0.5,
    epsilon: float = 1e-8,
) -> Verdict:
    """Discriminator rejection sampling: keep a sample the likelier, the more real the discriminator finds it.

    Azadi et al. 2019, "Discriminator Rejection Sampling", arXiv 1810.06758, section 3 and algorithm 1: with D the log
    ratio of real to synthetic density, up to a constant, and D* its maximum, ``σ(F − γ)`` is the probability of keeping
    a sample, where ``F = D − D* − log(1 − exp(D − D* − ε))``. With γ = 0 that is plain rejection sampling, which keeps
    next to none.

    The theory wants a discriminator near its optimum for this generator, trained by cross-entropy. What a hinge loss
    leaves, or Wasserstein's, is no log ratio, so D is calibrated by a logistic regression of real against synthetic on
    the logit: Turner et al. 2019, "Metropolis-Hastings Generative Adversarial Networks", arXiv 1811.11357, section 4.
    A discriminator that tells nothing thus rejects at random. One that knows its training rows by heart seems surer
    than it is, which sharpens the choice but does not change the order.

    Samples of a class compete with those of the class alone, so that the filter asks which of them look real and does
    not shift the share of the classes: D* and γ are taken in each, and the regression compares within each.

    Args:
        logits: of the samples, (N,), N ≥ 1.
        y: their classes (N,).
        real_logits, real_y: of real rows, (M,), M ≥ 1, as far as there are any that the discriminator was not trained
            on.
        seed: of the chances.
        quantile: of F over a class, in [0, 1], at which a sample is kept half of the time: γ. The paper throws away
            more; here about half are kept.
        epsilon: ε.

    Returns:
        The mask (N,), and figures: the discriminator's mean logit of ``real`` and of ``synthetic`` rows, and the
        ``slope`` of the calibration, 1 where logits are log ratios. Below 0, samples look more real to it than real
        rows do, and what it finds least real is kept.
    """
    for name, values in (("samples", logits), ("real rows", real_logits)):
        if not bool(values.isfinite().all()):
            raise InputError(f"the discriminator's logits of {name} hold NaN or infinity: has the GAN diverged?")
    slope = _slope(logits.double(), y, real_logits.double(), real_y)
    ratio = logits.double() * slope
    chance = torch.empty_like(ratio)
    for c in torch.unique(y):
        mine = y == c
        below = ratio[mine] - ratio[mine].max()
        surplus = below - torch.log(-torch.expm1(below - epsilon))
        chance[mine] = torch.sigmoid(surplus - surplus.quantile(quantile))
    rng = torch.Generator().manual_seed(stream_seed("discriminator", seed))
    keep = torch.rand(len(chance), generator=rng, dtype=torch.float64) < chance
    return keep, {"real": float(real_logits.mean()), "synthetic": float(logits.mean()), "slope": slope}


def _slope(synthetic: Tensor, y: Tensor, real: Tensor, real_y: Tensor) -> float:
    """What a logit is to be multiplied by to be a log ratio, of classes that have rows of both sorts."""
    logits, classes = torch.cat([real, synthetic]), torch.cat([real_y, y])
    is_real = torch.arange(len(logits)) < len(real)
    weight = torch.zeros_like(logits)
    for c in torch.unique(classes):
        mine = classes == c
        sorts = [mine & is_real, mine & ~is_real]
        if all(bool(sort.any()) for sort in sorts):
            # Midway between the two sorts lies 0, and both weigh the same, whatever the class and however rare.
            logits[mine] -= sum(logits[sort].mean() for sort in sorts) / 2
            for sort in sorts:
                weight[sort] = mine.sum() / (2 * sort.sum())
    used = weight > 0
    if not bool(used.any()):
        return _slope(synthetic, torch.zeros_like(y), real, torch.zeros_like(real_y))
    scale = float(logits[used].std(correction=0))
    if not scale > 1e-12 * max(1.0, float(synthetic.abs().max())):
        return 0.0
    fit = LogisticRegression()  # whose weak penalty keeps the slope finite where D is never wrong
    fit.fit(logits[used, None].numpy() / scale, is_real[used].numpy(), weight[used].numpy())
    return float(fit.coef_[0, 0]) / scale


def agreeing(class_logits: Tensor, y: Tensor) -> Verdict:
    """Keep the samples in which a classifier sees the class that was asked for.

    Ravuri and Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models", arXiv 1905.10887, show
    how much samples of the wrong class cost. A classifier of few real rows errs too, and on the side of what it knows.

    Args:
        class_logits: the classifier's (N, classes).
        y: the classes asked for, (N,).

    Returns:
        The mask (N,), and figures: ``disagreed``, samples in which it sees another class.
    """
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < class_logits.shape[1]:
        raise InputError(f"labels run from {int(y.min())} to {int(y.max())}, the judge knows {class_logits.shape[1]}")
    sees = class_logits.argmax(1) == y
    return sees, {"disagreed": int((~sees).sum())}


def original(
    features: Tensor,
    contents: Sequence[bytes],
    real_features: Tensor,
    real_contents: Sequence[bytes],
    unseen_features: Tensor | None = None,
    quantile: float = 0.01,
) -> Verdict:
    """Drop copies of training rows, what lies nearer to one than unseen rows do, and repeated samples.

    How near is near, rows that were not trained on show: a distance that only a share of them, ``quantile``, has to its
    nearest training row. In the spirit of Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in
    Generative Models", arXiv 2004.05675. Without such rows the training rows stand in for them, each among the others;
    that asks for less, since a network draws the rows that it was trained on together.

    Args:
        features: of the samples, (N, d), N ≥ 1.
        contents: N values that are equal for equal samples.
        real_features, real_contents: the same of the training rows, (M, d), M ≥ 1; of one row copies alone are dropped.
        unseen_features: of other real rows, (K, d), K ≥ 1.
        quantile: share, in [0, 1].

    Returns:
        The mask (N,), and figures: ``copies`` of training rows; ``near``, samples too near to one; ``repeats`` of an
        earlier sample that is neither; and ``distance``, below which near is too near.
    """
    known, seen = set(real_contents), set()
    copied = torch.tensor([content in known for content in contents])
    distance = nearest(features, real_features)[0]  # (N,), float64
    if unseen_features is not None:
        usual = nearest(unseen_features, real_features)[0]
    else:
        usual = radii(real_features.double(), 1).sqrt() if len(real_features) > 1 else distance.new_zeros(1)
    least = float(usual.quantile(quantile))
    near = (distance < least).cpu() & ~copied
    repeated = torch.zeros_like(copied)
    for row in (~copied & ~near).nonzero()[:, 0].tolist():
        repeated[row] = contents[row] in seen
        seen.add(contents[row])
    figures = {"copies": int(copied.sum()), "near": int(near.sum()), "repeats": int(repeated.sum())}
    return ~(copied | near | repeated), {**figures, "distance": least}


def within(
    features: Tensor,
    y: Tensor,
    real_features: Tensor,
    real_y: Tensor,
    unseen_features: Tensor | None = None,
    unseen_y: Tensor | None = None,
    k: int = 5,
    share: float = 0.95,
) -> Verdict:
    """Keep the samples inside the manifold of the real rows of their class.

    That is the union of balls around each row that reach to its k-th nearest neighbour in the class: Kynkäänniemi et
    al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", arXiv 1904.06991, section 2, eq. 1
    and 2; the balls that Naeem et al. 2020, arXiv 2002.09797, count for their density.

    A network draws the rows that it was trained on so close together that unseen ones lie outside (digits, 20 a class:
    94 % of them). So the balls are widened by one factor, until a share of the unseen rows lies inside.

    Args:
        features: of the samples, (N, d), N ≥ 1.
        y: their classes (N,).
        real_features, real_y: the same of the training rows, (M, d) and (M,), M ≥ 1.
        unseen_features, unseen_y: of other real rows, (K, d) and (K,), K ≥ 1. Without them the balls stay as they are.
        k: which neighbour, at least 1; the farthest one in a class of fewer rows.
        share: of the unseen rows, in [0, 1].

    Returns:
        The mask (N,), and figures: ``widened``, the factor, at least 1; and ``unjudged``, the samples of classes
        with fewer than two training rows, which have no ball; they are kept.
    """
    widened = 1.0
    if unseen_features is not None and unseen_y is not None:
        reach = _reach(unseen_features, unseen_y, real_features, real_y, k)
        reach = reach[~reach.isnan()]
        widened = max(1.0, float(reach.quantile(share, interpolation="higher"))) if len(reach) else 1.0
    reach = _reach(features, y, real_features, real_y, k)
    unjudged = reach.isnan()
    return (reach <= widened) | unjudged, {"widened": widened, "unjudged": int(unjudged.sum())}


def _reach(features: Tensor, y: Tensor, real_features: Tensor, real_y: Tensor, k: int) -> Tensor:
    """By how much some ball of their class would have to grow to hold rows (N, d); NaN where there is no ball, (N,)."""
    nearest(features, real_features)  # refuses what is not a number, or of another width
    features, real_features = features.double(), real_features.double()
    reach = torch.full((len(y),), torch.nan, dtype=torch.float64)
    for c in torch.unique(y):
        mine, real = (y == c).nonzero()[:, 0], real_features[real_y == c]
        if len(real) < 2:
            continue
        radius = radii(real, min(k, len(real) - 1))  # squared
        to_real = squared_distances_to(real)
        for block in blocks_of(len(mine), len(real)):
            distance = to_real(features[mine[block]])
            growth = torch.where(distance > 0, distance / radius, 0.0)  # a ball of no size holds its centre
            reach[mine[block]] = growth.amin(1).sqrt()
    return reach


def _agreement(made: Evidence, real: Evidence, fresh: Evidence) -> Verdict:
    if not made.judge.labelled:
        raise InputError(
            f"the filter agreement needs a classifier of at least two classes, {made.judge.name} has learnt none:"
            " leave it out"
        )
    return agreeing(made.classes, made.y)


def _duplicates(made: Evidence, real: Evidence, fresh: Evidence) -> Verdict:
    unseen = None if fresh is real else fresh.features
    return original(made.features, made.contents, real.features, real.contents, unseen)


def _density(made: Evidence, real: Evidence, fresh: Evidence) -> Verdict:
    unseen = (None, None) if fresh is real else (fresh.features, fresh.y)
    return within(made.features, made.y, real.features, real.y, *unseen)


def _discriminator(made: Evidence, real: Evidence, fresh: Evidence) -> Verdict:
    return rejection_sampled(made.logits, made.y, fresh.logits, fresh.y, made.seed)


# Of the samples, of the training rows, and of real rows that are not among those, or else the training rows again.
FILTERS: dict[str, Callable[[Evidence, Evidence, Evidence], Verdict]] = {
    "discriminator": _discriminator,
    "agreement": _agreement,
    "duplicates": _duplicates,
    "density": _density,
}

NOTES = {  # where a sample is left out
    "discriminator": "the GAN's own discriminator takes it for synthetic",
    "agreement": "a classifier of the real rows sees another class",
    "duplicates": "it equals a training row or another sample, or is nearer to a row than 99 % of other real rows are",
    "density": "it lies where there are no training rows",
}
