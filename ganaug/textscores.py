"""What can be said of sentences and of no other data: words in common, grammar, likelihood."""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from datamodules.base import GANDataModule, Table
from datamodules.schema import Batch
from datamodules.tokens import TextSchema
from ganaug.gan import GAN
from ganaug.metrics.text import bleu, copies, distinct, novelty, self_bleu

Scores = dict[str, Any]


@runtime_checkable
class Judge(Protocol):
    """A data module that can tell right sentences from wrong ones."""

    def is_valid(self, sentence: str, label: str | int | None = None) -> bool:
        """Whether a sentence is right, and of the class."""
        ...

    def template(self, sentence: str, label: str | int | None = None) -> Any:
        """What is left of a right sentence without its choice of words."""
        ...


def text_scores(
    *,
    data: GANDataModule,
    train: Batch,
    test: Batch,
    synthetic: Batch,
    labelled: bool,
    model: GAN | None,
    seed: int,
) -> Scores:
    """Every score of sentences, each a dict of ``synthetic``, its ``floor`` by real sentences, and ``rows``.

    Args:
        data: where the real rows come from; :func:`grammar` and :func:`likelihood` ask it for what it can do.
        train, test, synthetic: rows, at least 2 of each: ``x`` int64 (N, T), ``length`` and ``y`` int64 (N,).
        labelled: whether the samples' labels mean anything.
        model: that the samples were drawn from, if there is one.
        seed: of the choice of rows where equal numbers are compared.
    """
    schema = cast(TextSchema, data.schema)
    count = min(len(train["y"]), len(synthetic["y"]))
    few = [_some(rows, count, seed) for rows in (train, synthetic)]
    return {
        **overlap(*(schema.sequences(rows["x"]) for rows in (*few, train, test, synthetic))),
        **grammar(data, schema, train, test, synthetic, labelled, *few),
        **likelihood(data, train, test, synthetic, model),
    }


def overlap(
    few_train: list[list[int]],
    few_synthetic: list[list[int]],
    train: list[list[int]],
    test: list[list[int]],
    synthetic: list[list[int]],
) -> Scores:
    """BLEU-2 to 5 against the test split, self-BLEU-2 to 4, distinct-1 to 3, copies and novelty: see ``metrics.text``.

    The first three depend on how many sentences there are, so equal numbers of training sentences and samples are
    compared. The other two have test sentences in place of the samples as their floor.

    Args:
        few_train, few_synthetic: as many token ids of training sentences as of samples.
        train, test, synthetic: token ids of all.
    """
    rows = len(few_synthetic)
    scores: Scores = {}
    made, real = bleu(few_synthetic, test, 5), bleu(few_train, test, 5)
    scores |= {f"bleu_{n}": _beside(made[n], real[n], rows) for n in made}
    made, real = self_bleu(few_synthetic, 4), self_bleu(few_train, 4)
    scores |= {f"self_bleu_{n}": _beside(made[n], real[n], rows) for n in made}
    for n in (1, 2, 3):
        if all(any(len(sentence) >= n for sentence in sentences) for sentences in (few_synthetic, few_train)):
            scores[f"distinct_{n}"] = _beside(distinct(few_synthetic, n), distinct(few_train, n), rows)
    scores["copies"] = _beside(copies(synthetic, train), copies(test, train), len(synthetic))
    scores["novelty"] = _beside(novelty(synthetic, train), novelty(test, train), len(synthetic))
    return scores


def grammar(
    data: GANDataModule,
    schema: TextSchema,
    train: Batch,
    test: Batch,
    synthetic: Batch,
    labelled: bool,
    few_train: Batch,
    few_synthetic: Batch,
) -> Scores:
    """What data that judge sentences say: nothing where they do not.

    - ``validity``: share of the samples that are right sentences of the class asked for; the floor is that of test.
    - ``valid_novelty``: share of the different right ones that are no training sentence.
    - ``template_coverage``: share of the test sentences whose class and template are those of some right sample. It
      grows with the number of samples, so as many training sentences are its floor.

    Args:
        few_train, few_synthetic: as many training rows as samples.
    """
    if not isinstance(data, Judge):
        return {}

    def named(rows: Batch) -> list[tuple[str, str | None]]:
        labels = [schema.class_name(y) if labelled else None for y in rows["y"].tolist()]
        return list(zip(schema.decode(rows["x"]), labels, strict=True))

    def right(rows: Batch) -> Tensor:
        return torch.tensor([data.is_valid(*pair) for pair in named(rows)])

    def templates(rows: Batch) -> list[Any]:
        return [(label, data.template(sentence, label)) for sentence, label in named(rows)]

    seen = schema.sequences(train["x"])

    def new(rows: Batch, mask: Tensor) -> float:
        return novelty(schema.sequences(rows["x"][mask]), seen) if bool(mask.any()) else 0.0

    wanted = templates(test)

    def covered(rows: Batch) -> float:
        found = {pair for pair in templates(rows) if pair[1] is not None}
        return sum(pair in found for pair in wanted) / len(wanted)

    valid, floor = right(synthetic), right(test)
    return {
        "validity": _beside(float(valid.double().mean()), float(floor.double().mean()), len(valid)),
        "valid_novelty": _beside(new(synthetic, valid), new(test, floor), int(valid.sum())),
        "template_coverage": _beside(covered(few_synthetic), covered(few_train), len(few_synthetic["y"])),
    }


def likelihood(data: GANDataModule, train: Batch, test: Batch, synthetic: Batch, model: GAN | None) -> Scores:
    """Negative log-likelihoods in nats per token, where there is a distribution to ask.

    - ``nll_oracle``: of the samples under the distribution that the data were drawn from (Yu et al. 2017, "SeqGAN",
      arXiv 1609.05473, section 5); the floor is that of the test rows.
    - ``nll_test`` and ``nll_train``: of real rows under the model; far apart where it has learnt rows by heart.
    """
    scores: Scores = {}
    if hasattr(data, "nll_oracle"):
        made, real = (float(torch.as_tensor(data.nll_oracle(rows["x"])).mean()) for rows in (synthetic, test))
        scores["nll_oracle"] = _beside(made, real, len(synthetic["y"]))
    if model is not None and hasattr(model, "nll"):
        scores |= {"nll_test": _mean_nll(model, test), "nll_train": _mean_nll(model, train)}
    return scores


@torch.no_grad()
def _mean_nll(model: Any, rows: Batch) -> float:
    batches = ({name: field.to(model.device) for name, field in batch.items()} for batch in Table(rows).batches())
    return float(torch.cat([model.nll(batch).double().cpu() for batch in batches]).mean())


def _beside(synthetic: float, floor: float, rows: int) -> Scores:
    return {"synthetic": synthetic, "floor": floor, "rows": rows}


def _some(rows: Batch, count: int, seed: int) -> Batch:
    chosen = torch.randperm(len(rows["y"]), generator=torch.Generator().manual_seed(seed))[:count]
    return {name: field[chosen] for name, field in rows.items()}
