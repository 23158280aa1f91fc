"""Other uses of samples than mixing them in, tried with the GANs of a finished study.

    python experiments/uses_of_samples.py STUDY [--only "fresh; by density"]

reads STUDY/study.json and the GAN of every whole cell, and trains the study's classifier anew for each use, for equally
many steps and from the same weights as mixing: classical augmentation in every arm, rare classes repeated where the
study thins some. Differences are in points of accuracy, or of macro-F1 where classes are rare, within a seed, with
Student's 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import table
from torch import Tensor, nn

import datamodules
from datamodules.rows import joined
from datamodules.schema import Batch, Schema
from ganaug import GAN, load
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier, fit_features
from ganaug.gans.randomness import stream_seed
from ganaug.runtime.training import without_messages
from ganaug.sampling.drawing import draw_samples
from ganaug.study.arms import alike, first, oversampled, samples_of
from ganaug.study.plan import stored_parts
from ganaug.study.stages import first_stage
from ganaug.study.statistics.intervals import student

BATCH = 128  # rows a step, as in the study
POOL = 5  # times as many samples to choose from

Answers = np.ndarray  # probabilities (N, classes)


class CellUses:
    """The uses of the samples of one cell.

    Args:
        asked: study.json.
        facts: cell.json.
        folder: of the cell.
        rows: ``train`` and ``test``, as they are stored.
        schema: of the rows.
    """

    def __init__(
        self, asked: dict[str, Any], facts: dict[str, Any], folder: Path, rows: dict[str, Batch], schema: Schema
    ):
        own = facts["rows"][0]
        self.seed, self.rare, self.schema = own["seed"], bool(own["imbalance"]), schema
        self.train, self.test, self.ratio = rows["train"], rows["test"], asked["ratio"]
        self.real = oversampled(self.train) if self.rare else self.train
        self.model: GAN = load(folder / "gan.ckpt")
        self.samples: Batch = torch.load(folder / "samples.pt", weights_only=True)
        options = {k.removeprefix("classifier."): v for k, v in asked.items() if k.startswith("classifier.")}
        self.changes = tuple(options.pop("classical"))
        self.curriculum = options.pop("curriculum")
        del options["class"]
        self.steps = asked["classifier_steps"]
        self.fit = functools.partial(fit_classifier, schema=schema, steps=self.steps, batch_size=BATCH, **options)
        arm = "classical_oversampled_gan" if self.rare else "classical_gan"
        self.counts = samples_of(arm, self.train["y"], schema.num_classes, self.ratio, self.rare)

    def learnt(self, made: Batch | None = None, number: int = 0, curriculum: float | None = None) -> Answers:
        """What a classifier of the real rows and of what was made says of the test rows; by the study's curriculum."""
        curriculum = self.curriculum if curriculum is None else curriculum
        seed = stream_seed("classifier", self.seed, *([number] if number else []))  # 0: as in the study
        model = self.fit(rows=self._beside(made), seed=seed, augment=self.changes, curriculum=curriculum)
        return ClassifierFeatures(model, "").probabilities(self.test).numpy()

    def _beside(self, made: Batch | None, real: Batch | None = None) -> Batch:
        real = real or self.real
        if made is None:
            return real
        return joined(alike(real, made))

    def drawn(self, y: Tensor, widths: Tensor | None = None) -> Batch:
        """Samples of these classes that no filter has seen; z times ``widths`` (N,), if given."""
        model, seed = self.model, stream_seed("uses", self.seed)
        if widths is None:
            return {**model.schema.as_written(draw_samples(model, torch.arange(len(y)), y, seed)), "y": y}
        parts = []
        for index in torch.arange(len(y)).split(256):
            latent = model.latent(index, seed)
            begin = int(type(model).__name__ == "R3GAN")  # its first number is not of z
            latent[:, begin : begin + model.hparams["latent_dim"]] *= widths[index, None]
            parts.append(model.schema.stored(model.sample(latent, y[index])))
        return {**model.schema.as_written(joined(parts)), "y": y}

    @functools.cached_property
    def pool(self) -> Batch:
        """Several times as many samples as are wanted, class after class."""
        return self.drawn(torch.arange(len(self.counts)).repeat_interleave(POOL * self.counts))

    @functools.cached_property
    def judge(self) -> ClassifierFeatures:
        """As the study's filters have it."""
        return fit_features(self.schema, self.real, stream_seed("judge", self.seed), steps=self.steps, augment=True)

    def never(self) -> Answers:
        """Without samples."""
        return self.learnt()

    def second(self) -> Answers:
        """Without samples, from other weights: averaged with the first it shows what averaging is worth by itself."""
        return self.learnt(number=1)

    def mixed(self) -> Answers:
        """The study's own arm, at the ratio that it fixed in advance."""
        return self.learnt(first(self.samples, self.counts))

    def samples_first(self) -> Answers:
        """The last half of the steps sees real rows alone."""
        return self.learnt(first(self.samples, self.counts), curriculum=0.5)

    def fresh(self, widths: tuple[float, float] | None = None) -> Answers:
        """Half of every batch, on average, are samples, none twice and no filter.

        Args:
            widths: least and greatest factor of a sample's z, as GaFi widens them: Lampis, Lomurno and Matteucci 2023,
                "Bridging the Gap: Enhancing the Utility of Synthetic Data via Post-Processing Techniques".
        """
        model = self.fit(rows=self._fresh(widths), seed=stream_seed("classifier", self.seed), augment=self.changes)
        return ClassifierFeatures(model, "").probabilities(self.test).numpy()

    def apart(self) -> Answers:
        """As ``fresh``, but the samples of a class are a class of their own, and its logits are added up to answer.

        DADA's way, with an ordinary classifier in the place of its D: Zhang et al. 2019, "DADA: Deep Adversarial Data
        Augmentation for Extremely Low Data Regime Classification".
        """
        rows, count, classes = self._fresh(), self.schema.num_classes, self.schema.classes
        rows["y"] = rows["y"] + count * rows["synthetic"]
        twice = replace(self.schema, classes=(*classes, *(f"{name}, made" for name in classes)))
        seed = stream_seed("classifier", self.seed)
        model = self.fit(rows=rows, schema=twice, seed=seed, augment=self.changes)
        said = ClassifierFeatures(model, "").probabilities(self.test).log()
        return (said[:, :count] + said[:, count:]).softmax(1).numpy()

    def _fresh(self, widths: tuple[float, float] | None = None) -> Batch:
        """Real rows, over and over, and as many samples."""
        many = self.steps * BATCH // 2
        turns = -(-many // len(self.real["y"]))
        real = {name: field.repeat(turns, *[1] * (field.ndim - 1)) for name, field in self.real.items()}
        y = real["y"][:many]
        rng = torch.Generator().manual_seed(stream_seed("widths", self.seed))
        scale = None if widths is None else widths[0] + (widths[1] - widths[0]) * torch.rand(len(y), generator=rng)
        return self._beside(self.drawn(y, scale), real)

    def by_density(self) -> Answers:
        """Drawn from the pool by weights p / (1 - p), p for "real" by a logistic regression on the judge's features."""
        real, made = self.judge(self.train).numpy(), self.judge(self.pool).numpy()
        x, y = np.concatenate([real, made]), np.repeat([1, 0], [len(real), len(made)])
        regression = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        p = cross_val_predict(regression, x, y, cv=5, method="predict_proba")[len(real) :, 1].clip(1e-6, 1 - 1e-6)
        weights = torch.from_numpy(p / (1 - p))
        weights = weights.clamp(max=float(weights.quantile(0.99)))
        rng = torch.Generator().manual_seed(stream_seed("density", self.seed))
        index = []
        for c, count in enumerate(self.counts.tolist()):
            own = (self.pool["y"] == c).nonzero()[:, 0]
            index += [own[torch.multinomial(weights[own], count, True, generator=rng)]] if count else []
        return self.learnt({name: field[torch.cat(index)] for name, field in self.pool.items()})

    def boundary(self) -> Answers:
        """Of each class the samples of the pool whose class is least clear to the judge."""
        said = self.judge.probabilities(self.pool)
        index = torch.argsort(said.gather(1, self.pool["y"][:, None])[:, 0])
        return self.learnt(first({name: field[index] for name, field in self.pool.items()}, self.counts))

    def relabelled(self) -> Answers:
        """Samples without a filter, labelled by three classifiers of the real rows."""
        made = first(self.pool, self.counts)
        teachers = [self.fit(rows=self.real, seed=stream_seed("teacher", self.seed, k), augment=self.changes)
                    for k in range(3)]  # fmt: skip
        said = torch.stack([ClassifierFeatures(model, "").probabilities(made) for model in teachers]).mean(0)
        return self.learnt({**made, "y": said.argmax(1)})

    def discriminator(self) -> Answers:
        """No classifier: a logistic regression on D's features of the real rows.

        Radford et al. 2016, section 5.1, has a linear SVM.
        """
        real, test = (self.seen(rows) for rows in (self.train, self.test))
        balance = "balanced" if self.rare else None
        regression = LogisticRegression(class_weight=balance, max_iter=2000)
        chosen = GridSearchCV(regression, {"C": np.logspace(-4, 2, 7)}, cv=3)
        return make_pipeline(StandardScaler(), chosen).fit(real, self.train["y"].numpy()).predict_proba(test)

    @torch.no_grad()
    def seen(self, rows: Batch) -> np.ndarray:
        """(N, d): what comes into the last layer of weights that D calls with more than the class, here 0 for all."""
        inputs: list[Tensor] = []
        layers = (nn.Linear, nn.Conv1d, nn.Conv2d)
        hooks = [module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
                 for module in self.model.modules() if isinstance(module, layers)]  # fmt: skip
        found = []
        for index in torch.arange(len(rows["y"])).split(256):
            batch = self.schema.prepare({name: field[index] for name, field in rows.items()})
            self.model.judged({**batch, "y": torch.zeros_like(batch["y"])})
            found.append(next(x for x in reversed(inputs) if (x != x[:1]).any()).flatten(1))
            inputs.clear()
        for hook in hooks:
            hook.remove()
        return torch.cat(found).numpy()


def scored(cell: CellUses, only: list[str]) -> Iterator[tuple[str, float]]:
    """Each use, in order, and what it scores on the test rows; of those beside mixing the ones named, if any."""
    right = cell.test["y"].numpy()

    def score(answers: Answers) -> float:
        said = answers.argmax(1)
        if cell.rare:
            return float(f1_score(right, said, labels=np.unique(right), average="macro", zero_division=0))
        return float(accuracy_score(right, said))

    never, mixed = cell.never(), cell.mixed()
    yield "never", score(never)
    yield "mixed", score(mixed)
    uses: dict[str, Callable[[], Answers]] = {
        "never, two averaged": lambda: never + cell.second(),
        "mixed and never averaged": lambda: never + mixed,
        "samples first": cell.samples_first,
        "fresh": cell.fresh,
    }
    uses["apart"] = cell.apart
    if type(cell.model).__name__ in ("DCGAN", "R3GAN"):
        uses["fresh, wide"] = functools.partial(cell.fresh, (0.8, 1.5))
    uses |= {"by density": cell.by_density, "boundary": cell.boundary, "relabelled": cell.relabelled}
    uses["D's features"] = cell.discriminator
    if unknown := [name for name in only if name not in uses]:
        raise SystemExit(f"--only: no use is called {unknown[0]!r}; there are {', '.join(uses)}")
    for name in only or uses:
        yield name, score(uses[name]())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--only", type=lambda text: text.split("; "), default=[])
    given = parser.parse_args()
    study: Path = given.study
    if not (study / "study.json").is_file():
        parser.error(f"{study} is no study: give the folder that augment was given as --out")
    asked = json.loads((study / "study.json").read_text(encoding="utf-8"))
    if "classifier.classical" not in asked:
        parser.error(f"{study}: needs a study with the classifier of the data's kind, not {asked['classifier.class']}")
    options = {k.removeprefix("data."): v for k, v in asked.items() if k.startswith("data.")}
    data = getattr(datamodules, options.pop("class"))(**options)
    found: dict[str, dict[tuple[int, str], float]] = {}
    for path in sorted(study.glob("cells/*/cell.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if "rows" not in facts or facts["rows"][0]["fold"] is not None:
            continue
        own = facts["rows"][0]
        shares = [part.rsplit(":", 1) for part in (own["imbalance"] or "").split(",") if part]
        changes = {"seed": own["seed"], "per_class": own["per_class"] or data.per_class}
        changes |= {"imbalance": {name: float(share) for name, share in shares}} if shares else {}
        with without_messages():
            module = data.again(**changes)
            module.setup()
            cell = CellUses(asked, facts, path.parent, stored_parts(module), module.schema)
            for use, score in scored(cell, given.only):
                found.setdefault(use, {})[own["seed"], facts["cell"]] = 100 * score
                print(f"{facts['cell']}: {use} {100 * score:.1f}", flush=True)
    lines = []
    for use, by_cell in found.items():
        scores = [by_cell[cell] for cell in sorted(by_cell)]
        line: dict[str, Any] = {"use": use, "seeds": len(scores), "score": f"{np.mean(scores):.1f}"}
        for other in ("never", "mixed"):
            others = [found[other][cell] for cell in sorted(by_cell)]
            mean, half, _ = map(float, student(np.subtract(scores, others), first_stage(asked)))
            inside = "" if np.isnan(half) else f" ({mean - half:.1f} to {mean + half:.1f})"  # of one seed there is none
            line[f"− {other}"] = "" if use == other else f"{mean:+.1f}{inside}"
        lines.append(line)
    print(table(lines))


if __name__ == "__main__":
    main()
