"""What can be said of sentences and of no other data: words in common, grammar, likelihood, language models."""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from datamodules.base import GANDataModule, Stream
from datamodules.rows import Table, some_rows
from datamodules.schema import Batch, step_mask
from datamodules.text.schema import TextSchema
from ganaug.gans.base import GAN
from ganaug.metrics.text import bleu, copies, distinct, novelty, self_bleu
from ganaug.networks.decoder import LSTMDecoder
from ganaug.runtime.devices import seeded

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
    language: LanguageScores | None = None,
    **_: Any,
) -> Scores:
    """Every score of sentences, each a dict of ``synthetic``, its ``floor`` by real sentences, and ``rows``.

    Args:
        data: where the real rows come from; :func:`grammar` and :func:`likelihood` ask it for what it can do.
        train, test, synthetic: rows, at least 2 of each: ``x`` int64 (N, T), ``length`` and ``y`` int64 (N,).
        labelled: whether the samples' labels mean anything.
        model: that the samples were drawn from, if there is one.
        seed: of the choice of rows where equal numbers are compared.
        language: scores by language models; None leaves them out.
    """
    schema = cast(TextSchema, data.schema)
    few = equal_numbers(train, synthetic, seed)
    return {
        **overlap(*(schema.sequences(rows["x"]) for rows in (*few, train, test, synthetic))),
        **grammar(data, schema, train, test, synthetic, labelled, *few),
        **likelihood(data, train, test, synthetic, model),
        **(language(synthetic) if language is not None else {}),
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
        made, real = (oracle_nll(data, rows) for rows in (synthetic, test))
        scores["nll_oracle"] = _beside(made, real, len(synthetic["y"]))
    if model is not None and hasattr(model, "nll"):
        scores |= {"nll_test": model_nll(model, test), "nll_train": model_nll(model, train)}
    return scores


def oracle_nll(data: Any, rows: Batch) -> float:
    """Mean over the rows of what ``nll_oracle`` of the data says of them."""
    return float(torch.as_tensor(data.nll_oracle(rows["x"])).mean())


@torch.no_grad()
def model_nll(model: Any, rows: Batch, **options: Any) -> float:
    """Mean over the rows of the model's ``nll(batch, **options) -> (B,)``."""
    batches = ({name: field.to(model.device) for name, field in batch.items()} for batch in Table(rows).batches())
    return float(torch.cat([model.nll(batch, **options).double().cpu() for batch in batches]).mean())


# ---- language models ----


class LanguageScores:
    """Scores of samples by language models that know nothing of the model that wrote them.

    - ``lm_nll``: negative log-likelihood of the samples under a language model of the training rows, in nats per token,
      the mean over the rows; the floor is that of the test rows. Quality: low for a single good sentence, too.
    - ``reverse_lm_nll``: that of the test rows under a language model of the samples; the floor is that under one of as
      many training rows. Quality and diversity: what the samples lack is unlikely (Semeniuk et al. 2018, arXiv
      1806.04936, "reverse perplexity"; both in Caccia et al. 2020, arXiv 1811.02549).

    Args:
        schema: of the rows.
        train, test: real rows.
        steps, seed, device, progress: see :func:`fit_language_model`.
    """

    def __init__(
        self,
        schema: TextSchema,
        train: Batch,
        test: Batch,
        *,
        steps: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: bool = False,
    ) -> None:
        self.schema, self.train, self.test, self.seed = schema, train, test, seed
        self._training: dict[str, Any] = {"steps": steps, "seed": seed, "device": device, "progress": progress}
        self._of_real: dict[int, LSTMDecoder] = {}

    def __call__(self, synthetic: Batch) -> Scores:
        """Both scores of at least 2 samples; language models of real rows are trained once."""
        _, few = equal_numbers(self.train, synthetic, self.seed)
        judge, rival = self._real(len(self.train["y"])), self._real(len(few["y"]))
        made = fit_language_model(self.schema, few, **self._training)
        quality = language_nll(judge, synthetic), language_nll(judge, self.test)
        return {
            "lm_nll": _beside(*quality, len(synthetic["y"])),
            "reverse_lm_nll": _beside(language_nll(made, self.test), language_nll(rival, self.test), len(few["y"])),
        }

    def _real(self, count: int) -> LSTMDecoder:
        if count not in self._of_real:
            rows = some_rows(self.train, count, self.seed)
            self._of_real[count] = fit_language_model(self.schema, rows, **self._training)
        return self._of_real[count]


def fit_language_model(
    schema: TextSchema,
    rows: Batch,
    *,
    steps: int | None = None,
    batch_size: int = 128,
    embedding: int = 64,
    hidden: int = 128,
    dropout: float = 0.3,
    lr: float = 1e-2,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> LSTMDecoder:
    """Train an LSTM by maximum likelihood for a fixed number of steps, blind to classes, on nothing but the given rows.

    A plain loop, as for classifiers; the global random state is put back, and the same seed on the same machine gives
    the same weights on a CPU.

    Args:
        schema: of the rows.
        rows: N ≥ 1 of them: ``x`` int64 (N, T), ``length`` int64 (N,).
        steps: batches; by default 300 and 3 passes over the rows.
        batch_size: rows per step, also where there are fewer rows.
        embedding, hidden: widths of the LSTM.
        dropout: on what goes in and what comes out.
        lr: highest learning rate of Adam, in one cycle.
        seed: of the weights, the order of the rows and the dropout.
        device: to train on.
        progress: show a progress bar.
    """
    count = len(rows["x"])
    steps = steps or 300 + round(3 * count / batch_size)
    order = torch.tensor(list(Stream(count, batch_size, steps, seed, 0, 1))).view(steps, -1)
    with torch.inference_mode(False), torch.enable_grad(), seeded(seed, device):
        model = LSTMDecoder(len(schema.vocabulary), schema.max_length, 1, embedding, hidden).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
        for index in track(order, "language model", disable=not progress):
            losses, real = _language_losses(model, {name: rows[name][index] for name in ("x", "length")}, dropout)
            optimizer.zero_grad()
            torch.autograd.backward(losses.sum() / real.sum())
            optimizer.step()
            schedule.step()
    return model.requires_grad_(False)


@torch.no_grad()
def language_nll(model: LSTMDecoder, rows: Batch) -> float:
    """Negative log-likelihood of N ≥ 1 rows in nats per token, end included, the mean over the rows."""
    parts = [_language_losses(model, batch) for batch in Table(rows).batches()]
    return float(torch.cat([(losses.sum(1) / real.sum(1)).double().cpu() for losses, real in parts]).mean())


def _language_losses(model: LSTMDecoder, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each token, 0 on padding, and which are none, both (B, longest row)."""
    device = model.head.weight.device
    length = batch["length"].to(device)
    x = batch["x"][:, : int(batch["length"].max())].to(device)
    real = step_mask(length, x.shape[1])
    logits = model(x, torch.zeros_like(length), dropout)
    targets = x.masked_fill(~real, -100)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(x.shape), real


def _beside(synthetic: float, floor: float, rows: int) -> Scores:
    return {"synthetic": synthetic, "floor": floor, "rows": rows}


def equal_numbers(train: Batch, synthetic: Batch, seed: int) -> tuple[Batch, Batch]:
    """As many rows of each as of the fewer, chosen by the seed."""
    count = min(len(train["y"]), len(synthetic["y"]))
    return some_rows(train, count, seed), some_rows(synthetic, count, seed)
