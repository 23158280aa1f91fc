"""``ganaug evaluate``: how good samples are, each score beside the same score of unseen real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from datamodules import GANDataModule, TextSchema
from datamodules.errors import InputError
from datamodules.files.manifest import as_json, read_manifest, replacing, result_file
from datamodules.options import Count, File, Positive, Seed, Within, checked
from datamodules.rows import chosen, stored_rows
from datamodules.schema import Batch
from datamodules.store import read_samples
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier, fit_features
from ganaug.evaluation.facts import leaked
from ganaug.evaluation.figures import save_figure
from ganaug.evaluation.membership import membership, membership_lines
from ganaug.evaluation.spread import class_spread, spread_lines
from ganaug.evaluation.temperatures import temperature_figure, temperature_list, temperature_rows, temperature_table
from ganaug.evaluation.text import LanguageScores
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import read_checkpoint
from ganaug.gans.loading import load
from ganaug.kind import kind_of
from ganaug.loggers import write
from ganaug.metrics.distance import MOST_ROWS, frechet_distance, kernel_distance, manifold, memorisation
from ganaug.metrics.image import Inception
from ganaug.runtime.devices import Accelerator, device_of
from ganaug.sampling.drawing import draw_samples


@checked
def evaluate(
    data: GANDataModule,
    ckpt: File | None = None,
    samples: Path | None = None,
    out: File | None = Path("scores.json"),
    n: Annotated[int, Within(2, 10**9)] | None = None,
    seed: Seed = 0,
    inception: bool = False,
    inception_weights: File | None = None,
    cas: bool = True,
    classifier_steps: Count | None = None,
    lm: bool = True,
    temperatures: str | Sequence[Positive] | None = None,
    repeats: Annotated[int, Within(0, 1000)] = 10,
    accelerator: Accelerator = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Score samples of a checkpoint, or samples in a folder, against real data.

    Every score stands beside its floor: what unseen real data score in place of the samples, at the same sample
    counts. The feature network and the classifiers learn from the training split (or the samples) alone, for a fixed
    number of steps; the test split is only measured against. Whether the samples, or D, give away which rows were
    trained on is asked by guessing among training and test rows; see :func:`~ganaug.evaluation.membership.membership`.

    Args:
        data: the real data; its training split is what the GAN was trained on.
        ckpt: checkpoint to draw samples from.
        samples: folder or .npz of pictures, folder or file of sentences or series, instead of a checkpoint.
        out: JSON file for the scores.
        n: number of samples to draw from the checkpoint, in the training split's class proportions; by default as many
            as there are training rows.
        seed: of the samples and of the classifiers.
        inception: of pictures: measure distances in the Inception network of the Fréchet Inception Distance (downloads
            its weights).
        inception_weights: a file of its weights, instead of a download.
        cas: train a classifier on the samples too; the longest part.
        classifier_steps: batches of 128 that each classifier and language model is trained for; by default 300 and
            three passes.
        lm: of sentences: train language models on the real ones and on the samples, for two more scores; false saves
            the time.
        temperatures: of a checkpoint that writes sentences: comma-separated, like 0.7,0.8,0.9,1.0. Quality against
            diversity at each, for the model and for what maximum likelihood alone had reached, in the JSON file, as a
            picture beside it, and in TensorBoard where the checkpoint lies in a run's folder.
        repeats: of series: judges of each kind that are trained side by side for the discriminative and the predictive
            score; 0 saves the time. Of series there are also pictures beside the JSON file, and in TensorBoard.
        accelerator: what to compute on.
        progress: show progress bars.

    Returns:
        What is written to ``out``: the scores, sample counts and the name of the feature network.

    Raises:
        InputError: no samples or two sources of them, samples that are not of the data's kind, or an option that means
            nothing for it.
    """
    if (ckpt is None) == (samples is None):
        raise InputError("give either ckpt, a checkpoint to draw from, or samples, a folder to read")
    if samples is not None and n is not None:
        raise InputError(
            "n is of samples that are drawn from a checkpoint; those in a folder are all taken: leave --n out"
        )
    schema = data.schema
    kind = kind_of(schema)
    if out is not None:
        out = result_file(out, [".json"], [ckpt, samples, *data._arguments.values()])
    inception = inception or inception_weights is not None
    if inception and schema.kind != "image":
        raise InputError(f"inception and inception_weights are for image data, --data gives {schema.kind} data")
    model = load(ckpt) if ckpt is not None else None  # first: the quickest way to be wrong
    network = Inception(inception_weights, device_of(accelerator)) if inception else None
    warmth = temperature_list(temperatures, schema.kind, model)
    data.prepare_data()
    data.setup()
    step = 0  # of the checkpoint
    if ckpt is not None:
        same_split(ckpt, checkpoint := read_checkpoint(ckpt), data)
        step = checkpoint["global_step"]
    elif samples is not None and (manifest := manifest_of(Path(samples))):
        same_split(samples, manifest.get("data"), data)
    train, test = stored_rows(schema, data.train), stored_rows(schema, data.test)
    if len(train["y"]) < 2 or len(test["y"]) < 2:
        raise InputError(f"scores need 2 training and 2 test rows; there are {len(train['y'])} and {len(test['y'])}")
    if said := leaked(train, test, "test"):
        rank_zero_warn(f"{said}, so that scores beside them, and their floors, flatter: remove copies from the source")
    if model is not None:
        synthetic = draw(model, data, n, seed, accelerator)
        labelled = model.conditional
    else:
        assert samples is not None
        synthetic, labelled = read_samples(samples, schema)
    labelled = labelled and schema.num_classes > 1
    if len(synthetic["y"]) < 2:
        raise InputError("scores need at least 2 samples")

    # Augmented, as classifiers are trained in earnest: without shifts, one learns from traces at the edges of sampled
    # pictures, which tell their classes apart perfectly and mean nothing in real ones.
    training: dict[str, Any] = {
        "seed": seed,
        "steps": classifier_steps,
        "augment": True,
        "accelerator": accelerator,
        "progress": progress,
    }
    judge = fit_features(schema, train, **training)
    extractor, features = judge.name, judge.__call__
    if network is not None:
        extractor, features = network.name, lambda rows: network(rows["x"])
    in_features = features(train), features(test), features(synthetic)
    known: dict[str, Any] = {"data": data, "train": train, "test": test, "labelled": labelled, "seed": seed}
    if lm and isinstance(schema, TextSchema):
        known["language"] = LanguageScores(
            schema, train, test, steps=classifier_steps, seed=seed, device=judge.model.device, progress=progress
        )
    trained = {"steps": classifier_steps, "repeats": repeats, "device": str(judge.model.device)}
    own = kind.scores(synthetic=synthetic, model=model, **known, **trained)
    scores: dict[str, Any] = distances(*in_features, seed)
    scores["memorisation"] = {
        "in_features": memorisation(*in_features, seed=seed),
        **own.pop("memorisation", {}),
    }
    scores["membership"] = membership(
        schema, train=train, val=stored_rows(schema, data.val), test=test, synthetic=synthetic, model=model, seed=seed
    )
    spread = class_spread(schema, train=train, test=test, synthetic=synthetic, labelled=labelled, seed=seed)
    scores |= {"class_spread": spread} if spread else {}
    scores |= own
    if labelled and judge.labelled:
        scores |= usefulness(judge, test, synthetic, training if cas else None)
    elif labelled:
        rank_zero_warn("no class_fidelity and no cas: all training rows are of one class")
    result = {
        "extractor": extractor,
        "source": str(ckpt if ckpt is not None else samples),
        "data": type(data).__name__,
        "seed": seed,
        "counts": {"synthetic": len(synthetic["y"]), "train": len(train["y"]), "test": len(test["y"])},
        "scores": scores,
    }
    if model is not None and warmth:
        samples_at = lambda model, t: draw(model, data, n, seed, accelerator, temperature=t)  # noqa: E731
        result["temperatures"] = temperature_rows(model, warmth, samples_at, **known)
    if out is not None:
        with replacing(Path(out)) as file:
            file.write((as_json(result, indent=2) + "\n").encode())
    rank_zero_info(table(result))
    if labelled or not schema.labelled:
        figures = kind.figures(schema, test, synthetic)
    else:  # samples of no class stand beside the real ones of all
        alike = [{**rows, "y": torch.zeros_like(rows["y"])} for rows in (test, synthetic)]
        figures = kind.figures(replace(schema, classes=()), *alike)
    if ckpt is not None and warmth:
        figures["temperatures"] = temperatures_of(result)
    for name, figure in figures.items():
        show_figure(name, figure, out, None if ckpt is None else Path(ckpt), step)
    return result


# ---- the three sets of rows ----


def same_split(source: Path, trained_on: Any, data: GANDataModule) -> None:
    """Refuse another split of the same source: its test rows may be among those that the model was trained on.

    Args:
        source: the checkpoint, or samples of ours.
        trained_on: what it says of the model's data, by the name of their class.
        data: what it is to be scored by.
    """
    if not isinstance(trained_on, dict):
        return rank_zero_warn(f"{source} does not say what its model was trained on: let no test row be among that")
    if not (trained := trained_on.get(type(data).__qualname__)):
        return
    if not isinstance(trained, dict) or not isinstance(trained.get("seed"), int):
        raise InputError(f"{source} cannot be used: what it says of the model's data is damaged")
    if trained["seed"] != data.seed:
        raise InputError(
            f"the model of {source} was trained on the split of data.seed {trained['seed']}, not {data.seed}: its"
            " training rows would be among the test rows"
        )
    here = data.state_dict()
    if any(trained.get(name, here[name]) != here[name] for name in ("rows", "checksum")):
        if (share := trained.get("test_fraction", data.test_fraction)) != data.test_fraction:
            raise InputError(
                f"the model of {source} was trained with data.test_fraction {share}, not {data.test_fraction}: its"
                " training rows would be among the test rows"
            )
        rank_zero_warn(
            f"the model of {source} was trained on {trained.get('rows')} rows, --data gives {here['rows']}, not all the"
            " same: where the fractions are not those of the training, test rows may be among those it was trained on"
        )


def manifest_of(samples: Path) -> dict[str, Any] | None:
    """That of a folder of samples, or of the only file in one."""
    if not samples.is_dir() and samples.stem != "samples":
        return None
    manifest = read_manifest(samples if samples.is_dir() else samples.parent)
    return manifest if manifest is not None and "request" in manifest else None


def draw(model: GAN, data: GANDataModule, n: int | None, seed: int, accelerator: str, **options: Any) -> Batch:
    """Samples in the class proportions of the training split, by the model's own options."""
    here, there = data.schema, model.schema
    if here.kind != there.kind:
        raise InputError(f"the checkpoint makes {there.kind} data, --data gives {here.kind} data")
    differ = here.differences(there.to_dict())
    if (hint := here.seen_otherwise(there)) and set(differ) <= {"image_size", "fit"}:
        raise InputError(f"the checkpoint was trained on such data, but {hint}")
    if differ:
        raise InputError(
            f"the checkpoint was trained on other data, or another split of them, than --data gives: their"
            f" {', '.join(differ)} differ: use the options of the training"
        )
    labels = data.train.fields["y"]
    count = len(labels) if n is None else n
    if count < 2:
        raise InputError(f"n must be at least 2, not {count}")
    y = labels[chosen(len(labels), len(labels), seed)].repeat(-(-count // len(labels)))[:count]
    model.to(device_of(accelerator))
    return {**there.as_written(draw_samples(model, torch.arange(count), y, seed, **options)), "y": y}


def _some(x: Tensor, seed: int, most: int = MOST_ROWS) -> Tensor:
    """At most so many rows, chosen by the seed."""
    return x[chosen(len(x), most, seed)]


# ---- scores ----


def distances(train: Tensor, test: Tensor, synthetic: Tensor, seed: int) -> dict[str, Any]:
    """Distances of samples to both real splits, with the distance between those as the floor.

    Args:
        train, test, synthetic: features (N, d). From each the same number of rows is compared, since the Fréchet
            distance falls with the number and the neighbourhoods of ``manifold`` shrink with it.
    """
    n = min(len(train), len(test), len(synthetic))
    train, test, synthetic = (_some(part, seed, n) for part in (train, test, synthetic))

    def compared(score: Callable[[Tensor, Tensor], float]) -> dict[str, float]:
        return {"to_train": score(train, synthetic), "to_test": score(test, synthetic), "floor": score(train, test)}

    def kernel(a: Tensor, b: Tensor) -> float:
        return kernel_distance(a, b, seed=seed)[0]

    pairs = [_some(part, seed) for part in (train, test, synthetic)]
    near, floor = manifold(pairs[0], pairs[2]), manifold(pairs[0], pairs[1])
    return {
        "frechet_distance": {**compared(frechet_distance), "rows": n},
        "kernel_distance": {**compared(kernel), "rows": n},
        **{name: {"to_train": near[name], "floor": floor[name], "rows": len(pairs[0])} for name in near},
    }


def usefulness(
    judge: ClassifierFeatures, test: Batch, synthetic: Batch, training: dict[str, Any] | None
) -> dict[str, Any]:
    """Class fidelity, and the classification accuracy score (Ravuri and Vinyals 2019, arXiv 1905.10887, section 3).

    Args:
        judge: the classifier trained on real rows.
        training: of a second one, on the samples; None for no classification accuracy score.
    """
    real = judge.accuracy(test)
    fidelity = {"synthetic": judge.accuracy(synthetic), "floor": real, "rows": len(synthetic["y"])}
    scores: dict[str, Any] = {"class_fidelity": fidelity}
    if training is not None:
        model = fit_classifier(judge.model.schema, synthetic, **training)
        accuracy = ClassifierFeatures(model, "cas").accuracy(test)
        scores["cas"] = {"trained_on_synthetic": accuracy, "trained_on_real": real, "rows": len(test["y"])}
    return scores


# ---- what is shown ----


def temperatures_of(result: dict[str, Any]) -> Figure:
    """The curves as a picture; as a table they are printed."""
    rank_zero_info(temperature_table(result["temperatures"]))
    real = {
        name: score["floor"] for name, score in result["scores"].items() if isinstance(score, dict) and "floor" in score
    }
    return temperature_figure(result["temperatures"], real)


def show_figure(name: str, figure: Figure, out: Path | None, ckpt: Path | None, step: int) -> None:
    """A figure as a PNG beside ``out``, and in TensorBoard where the checkpoint of ``step`` lies in a run's folder."""
    if out is not None:
        save_figure(figure, out.with_name(f"{out.stem}_{name}.png"))
    if ckpt is not None and ckpt.parent.name == "checkpoints":
        with SummaryWriter(str(ckpt.parent.parent)) as writer:
            write(writer, name, figure, step)


def table(result: dict[str, Any]) -> str:
    """The scores as lines of text."""
    counts, scores = result["counts"], result["scores"]
    lines = [
        f"{counts['synthetic']} samples against {counts['train']} training and {counts['test']} test rows;"
        f" features: {result['extractor']}",
        f"{'':24}{'samples':>10}{'real':>10}",
    ]
    for name in ("frechet_distance", "kernel_distance"):
        lines.append(f"{name + ' to test':24}{scores[name]['to_test']:>10.4f}{scores[name]['floor']:>10.4f}")
    for name in ("precision", "recall", "density", "coverage"):
        lines.append(f"{name:24}{scores[name]['to_train']:>10.4f}{scores[name]['floor']:>10.4f}")
    for name, score in scores.items():
        if isinstance(score, dict) and "synthetic" in score:
            lines.append(f"{name.replace('_', ' '):24}{score['synthetic']:>10.4f}{score['floor']:>10.4f}")
    if "cas" in scores:
        lines.append(
            f"{'CAS':24}{scores['cas']['trained_on_synthetic']:>10.4f}{scores['cas']['trained_on_real']:>10.4f}"
        )
    lines += [
        f"{name.replace('_', ' '):24}{score:>10.4f}" for name, score in scores.items() if isinstance(score, float)
    ]
    copied = scores["memorisation"]["in_features"]
    lines.append(f"{'nearer than real (1 %)':24}{copied['closer']:>10.4f}{copied['closer_floor']:>10.4f}")
    lines += spread_lines(scores.get("class_spread", {}))
    return "\n".join(lines + membership_lines(scores["membership"]))
