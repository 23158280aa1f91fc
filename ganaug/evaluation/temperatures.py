"""Quality against diversity over temperatures, of a model and of what maximum likelihood alone had reached.

Caccia et al. 2020, "Language GANs Falling Short" (arXiv 1811.02549), section 4: a model with better samples may merely
be one that samples more carefully, which any model does at a lower temperature. So whole curves are compared.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

from lightning.pytorch.utilities import rank_zero_info
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.schema import Batch
from datamodules.text.schema import TextSchema
from ganaug.evaluation.text import LanguageScores, equal_numbers, grammar, model_nll, oracle_nll
from ganaug.gans.base import GAN
from ganaug.metrics.text import bleu, self_bleu

Row = dict[str, Any]

# What is drawn against what: across, up, and where the better curve lies.
PANELS = (
    ("bleu_4", "self_bleu_4", "lower right"),
    ("lm_nll", "reverse_lm_nll", "lower left"),
    ("nll_oracle", "nll_test", "lower left"),
    ("validity", "template_coverage", "upper right"),
)
NAMES = {
    "bleu_4": "BLEU-4",
    "self_bleu_4": "self-BLEU-4",
    "lm_nll": "NLL of samples, LM of real sentences",
    "reverse_lm_nll": "NLL of test, LM of samples",
    "nll_oracle": "NLL of samples, oracle",
    "nll_test": "NLL of test, the model",
    "validity": "validity",
    "template_coverage": "template coverage",
}
STYLE = {"adversarial": ("tab:red", "o", 6), "mle": ("tab:blue", "s", -12)}


def temperature_list(given: str | Sequence[float] | None, kind: str, model: GAN | None) -> list[float]:
    """The temperatures asked for, as numbers; none where none are.

    Args:
        given: comma-separated, or a list.
        kind: of the data.
        model: that is to be sampled, if there is a checkpoint.

    Raises:
        InputError: they are no numbers above 0, or there is nothing that could be sampled at a temperature.
    """
    if given is None:
        return []
    parts: Sequence[str | float] = given.strip("[] ").split(",") if isinstance(given, str) else given
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers) or len(set(numbers)) < len(numbers):
        raise InputError(f"temperatures must be different numbers above 0, like 0.8,1.0, not {given!r}")
    if kind != "text":
        raise InputError(f"temperatures are for text data, --data gives {kind} data")
    if model is None:
        raise InputError("temperatures need ckpt, a checkpoint to draw from: samples are what they are")
    if "temperature" not in inspect.signature(model.sample).parameters:
        raise InputError(f"temperatures: {type(model).__name__} samples at none: leave them out")
    return numbers


def temperature_rows(
    model: GAN,
    temperatures: Sequence[float],
    draw: Callable[[GAN, float], Batch],
    *,
    data: GANDataModule,
    train: Batch,
    test: Batch,
    labelled: bool,
    seed: int,
    language: LanguageScores | None = None,
) -> list[Row]:
    """Scores of samples at each temperature: of the model, and of its ``pretrained()``, where it has one.

    Args:
        model: with ``sample(…, temperature)`` and, for ``nll_test``, ``nll(batch, temperature)``.
        temperatures: as :func:`temperature_list` gives them.
        draw: samples of a model at a temperature.
        data, train, test, labelled, seed, language: as for
            :func:`~ganaug.evaluation.text.text_scores`, which says what the scores mean. BLEU, self-BLEU and
            coverage are of as many samples as there are training rows, at most.

    Returns:
        For each ``model``, "adversarial" or "mle", and each ``temperature``: ``bleu_4``, ``self_bleu_4``, and those of
        ``lm_nll``, ``reverse_lm_nll``, ``nll_test`` (of the sharpened model), ``nll_oracle``, ``validity``,
        ``valid_novelty`` and ``template_coverage`` that there are.
    """
    schema = cast(TextSchema, data.schema)
    references = schema.sequences(test["x"])

    def scores(model: GAN, temperature: float) -> dict[str, float]:
        samples = draw(model, temperature)
        few_train, few = equal_numbers(train, samples, seed)
        sentences = schema.sequences(few["x"])
        found = {"bleu_4": bleu(sentences, references, 4)[4], "self_bleu_4": self_bleu(sentences, 4)[4]}
        beside = grammar(data, schema, train, test, samples, labelled, few_train, few)
        beside |= language(samples) if language is not None else {}
        found |= {name: score["synthetic"] for name, score in beside.items()}
        if hasattr(model, "nll"):
            found["nll_test"] = model_nll(model, test, temperature=temperature)
        if hasattr(data, "nll_oracle"):
            found["nll_oracle"] = oracle_nll(data, samples)
        return found

    models = {"adversarial": model}
    if hasattr(model, "pretrained") and (before := cast(Any, model).pretrained()) is not None:
        models["mle"] = before
    rows = []
    for name, source in models.items():
        for temperature in temperatures:
            rank_zero_info(f"{name} at temperature {temperature:g}")
            rows.append({"model": name, "temperature": temperature, **scores(source, temperature)})
    return rows


def temperature_table(rows: Sequence[Row]) -> str:
    """The rows as lines of text."""
    names = [name for name in rows[0] if name not in ("model", "temperature")]
    lines = [f"{'model':12}{'T':>6}" + "".join(f"{name.replace('_', ' '):>{_width(name)}}" for name in names)]
    for row in rows:
        numbers = "".join(f"{row[name]:>{_width(name)}.4f}" for name in names)
        lines.append(f"{row['model']:12}{row['temperature']:>6g}{numbers}")
    return "\n".join(lines)


def _width(name: str) -> int:
    return max(8, len(name)) + 2


def temperature_figure(rows: Sequence[Row], real: dict[str, float]) -> Figure:
    """A panel for each pair of scores that there is, a curve for each model, and a star where real sentences stand.

    Args:
        rows: of :func:`temperature_rows`.
        real: what real sentences score, by name; a pair of which one is missing gets no star.
    """
    panels = [panel for panel in PANELS if panel[0] in rows[0] and panel[1] in rows[0]]
    figure = Figure(figsize=(4.4 * len(panels), 4.2), layout="constrained")
    for axes, (across, up, better) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in dict.fromkeys(row["model"] for row in rows):
            _curve(axes, name, sorted((r["temperature"], r[across], r[up]) for r in rows if r["model"] == name))
        if across in real and up in real:
            axes.plot(real[across], real[up], "*", color="black", markersize=11, label="real sentences")
        axes.set_xlabel(NAMES[across])
        axes.set_ylabel(NAMES[up])
        axes.set_title(f"better: {better}", fontsize="medium")
        axes.margins(0.12)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def _curve(axes: Axes, name: str, points: Sequence[tuple[float, float, float]]) -> None:
    colour, marker, above = STYLE[name]
    axes.plot([x for _, x, _ in points], [y for _, _, y in points], marker=marker, color=colour, label=name)
    for temperature, x, y in points:
        axes.annotate(
            f"{temperature:g}", (x, y), (0, above), textcoords="offset points", color=colour, fontsize=8, ha="center"
        )
