"""Few pictures with labels and many without: what a GAN makes of the others, beside pseudo-labels.

    python experiments/unlabelled.py --path mnist.npz --seed 0 --out unlabelled

An R3GAN learns the classes and, as a class of its own, the pictures without labels; another begins from its weights and
learns the labelled ones alone. Ten of its samples to each labelled picture are mixed in. Labelled rows are repeated
until they are as many as the samples, or, where pseudo-labels are mixed in too, as these. Each arm is trained several
times, with classical augmentation, and tested on the file's test pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from datamodules import ImageArrays
from datamodules.rows import joined, stored_rows
from datamodules.schema import Batch
from ganaug import GAN, R3GAN, load
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier
from ganaug.gans.finetune import begin_from
from ganaug.runtime.devices import multiplies_bf16
from ganaug.runtime.training import plain_trainer
from ganaug.sampling.drawing import draw_samples

RATIO = 10  # samples to a labelled picture
SURE = 0.95  # least probability of a pseudo-label
UNLABELLED = "unlabelled"


class Trial:
    """One choice of the labelled pictures.

    Args:
        path: .npz with ``x_train``, ``y_train``, ``x_test``, ``y_test``.
        out: folder for what is made.
        seed: of the choice, the GANs and the classifiers.
        few: labelled pictures of each class.
        many: pictures without labels.
        batches: of the first GAN; the second has a third of it.
        steps: of the classifiers.
    """

    def __init__(self, path: Path, out: Path, seed: int, few: int, many: int, batches: int, steps: int) -> None:
        self.out = out / f"seed_{seed}_few_{few}_many_{many}"  # GANs that are there are of the same pictures
        self.seed, self.batches, self.steps = seed, batches, steps
        self.out.mkdir(parents=True, exist_ok=True)
        file = np.load(path)
        order = np.random.default_rng(seed).permutation(len(file["x_train"]))
        self.x, self.y = file["x_train"][order], file["y_train"][order]
        self.names = np.array([str(name) for name in np.unique(self.y)])
        chosen = [np.flatnonzero(self.y == name)[:few] for name in np.unique(self.y)]
        self.few = np.concatenate(chosen)
        self.rest = np.setdiff1d(np.arange(len(order)), self.few)[:many]
        tests = {"x_test": file["x_test"], "y_test": file["y_test"]}
        data = self.data("few", self.x[self.few], self.y[self.few], self.names, **tests)
        self.schema = data.schema
        self.labelled, self.test = (stored_rows(data.schema, part) for part in (data.train, data.test))
        others = self.data("rest", self.x[self.rest], self.y[self.rest], self.names)
        self.others = stored_rows(self.schema, others.train)

    def data(self, name: str, x: np.ndarray, y: np.ndarray, names: np.ndarray, **more: np.ndarray) -> ImageArrays:
        """Pictures as a data module, of which all are for training."""
        path = self.out / f"{name}.npz"
        np.savez(path, x_train=x, y_train=y, classes=names, **more)
        found = ImageArrays(path, batch_size=64, seed=self.seed, val_fraction=0.0, test_fraction=0.0)
        found.setup()
        return found

    def gan(self, name: str, data: ImageArrays, batches: int, begin: Path | None = None) -> Path:
        """The checkpoint of an R3GAN of these pictures, begun from another where that is given."""
        path = self.out / f"{name}_{batches}.ckpt"
        if not path.is_file():
            model = R3GAN(data.schema, seed=self.seed)
            if begin is not None:
                print(begin_from(model, begin))
            run = plain_trainer(
                accelerator="cpu", devices=1, max_steps=batches, max_epochs=-1, limit_val_batches=0,
                precision="bf16-mixed" if multiplies_bf16(torch.device("cpu")) else "32-true",
            )  # fmt: skip
            run.fit(model, data)
            run.save_checkpoint(path)
        return path

    def samples(self) -> Batch:
        """Of the GAN that begins from one which has seen all pictures."""
        repeat = max(1, len(self.rest) // len(self.few))  # so that half of the rows have a class
        x = np.concatenate([np.repeat(self.x[self.few], repeat, 0), self.x[self.rest]])
        y = np.concatenate([np.repeat(self.y[self.few], repeat), np.full(len(self.rest), len(self.names))])
        beside = self.gan("beside", self.data("beside", x, y, np.append(self.names, UNLABELLED)), self.batches)
        few = self.data("few_alone", self.x[self.few], self.y[self.few], self.names)
        model: GAN = load(self.gan("begun", few, self.batches // 3, beside))
        y = torch.arange(len(self.names)).repeat_interleave(RATIO * len(self.few) // len(self.names))
        return {"x": draw_samples(model, torch.arange(len(y)), y, self.seed)["x"], "y": y}

    def classifier(self, rows: Batch, number: int, steps: int) -> ClassifierFeatures:
        """A small network, trained with shifts and turns."""
        seed, augment = 1000 * self.seed + number, ("shift", "rotate")
        return ClassifierFeatures(
            fit_classifier(self.schema, rows, steps=steps, seed=seed, augment=augment, width=16), ""
        )

    def pseudo_labels(self) -> Batch:
        """Pictures without labels of which three classifiers of the labelled ones are sure."""
        judges = [self.classifier(self.labelled, k, 2 * self.steps) for k in range(3)]
        sure, said = torch.stack([judge.probabilities(self.others) for judge in judges]).mean(0).max(1)
        right = (said == self.others["y"])[sure >= SURE].float().mean()
        print(f"pseudo-labels: {int((sure >= SURE).sum())} of {len(said)}, {100 * float(right):.1f} % right")
        return {"x": self.others["x"][sure >= SURE], "y": said[sure >= SURE]}

    def beside(self, *made: Batch) -> Batch:
        """Rows and as many labelled ones, which are repeated."""
        return joined([repeated(self.labelled, round(len(made[0]["y"]) / len(self.few))), *made])

    def score(self, name: str, rows: Batch, times: int) -> None:
        """Print the accuracy of several trainings."""
        found = []
        for k in range(times):
            said = self.classifier(rows, 10 + k, self.steps).probabilities(self.test).argmax(1)
            found.append(100 * float((said == self.test["y"]).float().mean()))
        print(f"{name}: {np.mean(found):.2f} ({', '.join(f'{one:.2f}' for one in found)})", flush=True)


def repeated(rows: Batch, times: int) -> Batch:
    """Each row so many times, ``x`` and ``y`` alone."""
    return {name: rows[name].repeat(times, *[1] * (rows[name].ndim - 1)) for name in ("x", "y")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name, value in (("seed", 0), ("few", 10), ("many", 2000), ("batches", 2100), ("steps", 500), ("times", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    if not asked.path.is_file():
        parser.error(f"no file {asked.path}: give an .npz with x_train, y_train, x_test and y_test")
    torch.set_num_threads(1)
    trial = Trial(asked.path, asked.out, asked.seed, asked.few, asked.many, asked.batches, asked.steps)
    samples, pseudo = trial.samples(), trial.pseudo_labels()
    trial.score("labelled alone", trial.labelled, asked.times)
    trial.score("labelled, repeated 20 times", repeated(trial.labelled, 20), asked.times)
    trial.score("and samples", trial.beside(samples), asked.times)
    if not len(pseudo["y"]):
        print("and pseudo-labels, and both: not to be had, the classifiers are sure of none")
        return
    trial.score("and pseudo-labels", trial.beside(pseudo), asked.times)
    trial.score("and both", joined([trial.beside(pseudo), samples]), asked.times)


if __name__ == "__main__":
    main()
