import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from datamodules import ImageSchema, InputError
from ganaug import DCGAN, R3GAN, SeqGAN, TimeGAN
from ganaug.sampling.containers import extended
from ganaug.sampling.resample import GANSampler
from tests.gan_contract import trainer

PICTURES = {"options": {"latent_dim": 8, "width": 4}, "steps": 2, "accelerator": "cpu", "random_state": 0}
SERIES = {
    "options": {"latent_dim": 4, "widths": [8], "blocks": 1},
    "steps": 3,
    "accelerator": "cpu",
    "random_state": 0,
}
TEXTS = {
    "options": {"embedding": 8, "hidden": 8, "mle_steps": 1, "discriminator_steps": 1},
    "steps": 3,
    "accelerator": "cpu",
    "random_state": 0,
}
SENTENCES = ["the dog sleeps .", "a cat eats the old fish .", "where is the cat ?", "is it here ?"]


def pictures(shape=(8, 8), counts=(6, 3, 4)) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat(np.array(["a", "b", "c"])[: len(counts)], counts)
    return np.random.default_rng(0).integers(0, 256, (len(y), *shape), dtype=np.uint8), y


def series(shape=(5, 2), dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat([7, 3], [8, 5])
    return (100 * np.random.default_rng(0).random((13, *shape))).astype(dtype), y


def refused(sampler: GANSampler, X, y) -> str:
    with pytest.raises(InputError) as error:
        sampler.fit_resample(X, y)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_model_sees_every_class_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    step = DCGAN.training_step

    def watched(self, batch, batch_idx) -> None:
        seen.extend(batch["y"].tolist())
        step(self, batch, batch_idx)

    monkeypatch.setattr(DCGAN, "training_step", watched)
    GANSampler(**PICTURES, batch_size=9).fit_resample(*pictures(counts=(6, 1, 4)))
    assert np.bincount(seen).tolist() == [6, 6, 6]


# ---- the convention ----


@pytest.mark.parametrize("strategy", [
    "auto", "minority", "not minority", "not majority", "all", {"b": 9, "a": 6}, {"c": 5}, lambda y: {"c": len(y) - 6}
])  # fmt: skip
def test_counts_are_those_of_imbalanced_learn(strategy) -> None:
    X, y = pictures()
    theirs = RandomOverSampler(sampling_strategy=strategy).fit_resample(X.reshape(13, -1), y)[1]
    sampler = GANSampler(sampling_strategy=strategy, **PICTURES)
    ours = sampler.fit_resample(X, y)[1]
    assert np.unique(ours, return_counts=True)[1].tolist() == np.unique(theirs, return_counts=True)[1].tolist()
    assert sum(sampler.sampling_strategy_.values()) == len(ours) - 13


def test_a_number_is_the_share_of_the_larger_class() -> None:
    X, y = pictures(counts=(9, 4))
    theirs = RandomOverSampler(sampling_strategy=0.8).fit_resample(X.reshape(13, -1), y)[1]
    ours = GANSampler(sampling_strategy=0.8, **PICTURES).fit_resample(X, y)[1]
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_parameters_are_scikit_learns() -> None:
    sampler = GANSampler(model=DCGAN, **PICTURES)
    assert clone(sampler).get_params() == sampler.get_params()
    assert sampler.set_params(steps=5).steps == 5


def test_in_a_pipeline() -> None:
    X, y = pictures()
    flat = FunctionTransformer(lambda rows: rows.reshape(len(rows), -1) / 255)
    model = Pipeline([("gan", GANSampler(**PICTURES)), ("flat", flat), ("classifier", LogisticRegression())])
    model.fit(X, y)
    assert len(model.predict(X)) == 13  # nothing is made up in predict
    vectors = Pipeline([("gan", GANSampler(shape=(8, 8), **PICTURES)), ("classifier", LogisticRegression())])
    assert set(vectors.fit(X.reshape(13, 64), y).predict(X.reshape(13, 64))) <= {"a", "b", "c"}


def test_sentences_in_a_pipeline() -> None:
    y = np.array(["report", "report", "question", "report"])
    steps = [("gan", GANSampler(**TEXTS)), ("words", CountVectorizer()), ("classifier", LogisticRegression())]
    assert len(Pipeline(steps).fit(SENTENCES, y).predict(SENTENCES)) == 4


# ---- rows go out as they came in ----


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (6, 9, 3), (64,)])
def test_pictures(shape: tuple[int, ...]) -> None:
    X, y = pictures(shape)
    rows, labels = GANSampler(shape=(8, 8) if shape == (64,) else None, **PICTURES).fit_resample(X, y)
    assert rows.dtype == np.uint8
    assert rows.shape == (18, *shape)
    assert labels.dtype == y.dtype
    assert (rows[:13] == X).all()
    assert labels.tolist() == [*y.tolist(), "b", "b", "b", "c", "c"]
    assert len(np.unique(rows[13:].reshape(5, -1), axis=0)) > 1


@pytest.mark.parametrize(("shape", "given"), [((5, 2), None), ((10,), (5, 2)), ((10,), (10,))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_series(shape, given, dtype) -> None:
    X, y = series(shape, dtype)
    rows, labels = GANSampler(shape=given, **SERIES).fit_resample(X, y)
    assert rows.dtype == dtype
    assert rows.shape == (16, *shape)
    assert (rows[:13] == X).all()
    assert labels.tolist() == [*y.tolist(), 3, 3, 3]
    made = rows[13:]
    assert (made >= X.min() - 1).all()  # in the units of the rows: the networks see 0 to 1
    assert (made <= X.max() + 1).all()
    assert made.max() > 2


@pytest.mark.parametrize("box", [list, np.array, lambda texts: np.array(texts, dtype=object), pd.Series])
def test_sentences(box) -> None:
    labels = box(["r", "r", "q", "r"])
    rows, y = GANSampler(**TEXTS).fit_resample(box(SENTENCES), labels)
    assert type(rows) is type(y) is type(labels)
    assert list(rows)[:4] == SENTENCES
    assert list(y) == ["r", "r", "q", "r", "q", "q"]
    words = {word for text in SENTENCES for word in text.split()}
    assert all(isinstance(text, str) and set(text.split()) <= words for text in rows)


def test_data_frames() -> None:
    X, y = series((4,), np.float64)
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(100, 113))
    rows, labels = GANSampler(shape=(4,), **SERIES).fit_resample(frame, pd.Series(y, name="kind"))
    assert rows.shape == (16, 4)
    assert list(rows.columns) == list("abcd")
    assert (rows.dtypes == np.float64).all()
    assert labels.name == "kind"


# ---- the outcome ----


@pytest.mark.parametrize(
    ("model", "make", "options"),
    [
        ("R3GAN", pictures, {"widths": [8], "latent_dim": 4, "blocks": 1}),
        (TimeGAN, series, {"hidden": 6, "layers": 2, "autoencoder_steps": 1, "supervisor_steps": 1}),
    ],
)
def test_another_model_by_class_or_name(model, make, options) -> None:
    X, y = make()
    rows, labels = GANSampler(model, options=options, steps=3, accelerator="cpu", random_state=0).fit_resample(X, y)
    assert rows.shape[1:] == X.shape[1:]
    assert rows.dtype == X.dtype
    assert len(set(np.unique(labels, return_counts=True)[1])) == 1


def test_the_seed_decides_and_the_process_is_left_as_it_was() -> None:
    X, y = pictures()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again = (GANSampler(**PICTURES).fit_resample(X, y)[0] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (first == again).all()
    assert (GANSampler(**{**PICTURES, "random_state": 1}).fit_resample(X, y)[0] != first).any()
    state = np.random.RandomState(0)
    assert (GANSampler(**{**PICTURES, "random_state": state}).fit_resample(X, y)[0] == first).all()


def test_it_learns_what_the_classes_look_like() -> None:
    """Ones and zeros: after some steps dark samples of the dark class and bright ones of the other."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [40, 20])
    X = (rng.integers(0, 30, (60, 8, 8)) + 220 * y[:, None, None]).astype(np.uint8)
    options = {"latent_dim": 8, "width": 8, "lr_g": 2e-3, "lr_d": 2e-3, "ema_decay": 0.9, "augment": ""}
    sampler = GANSampler(options=options, steps=250, random_state=0, accelerator="cpu", batch_size=32)
    rows, labels = sampler.set_params(sampling_strategy={0: 60, 1: 60}).fit_resample(X, y)
    made, of = rows[60:].reshape(60, -1).mean(1), labels[60:]
    assert made[of == 0].mean() < 100 < 150 < made[of == 1].mean()


def test_nothing_to_do() -> None:
    X, y = pictures(counts=(5, 5))
    sampler = GANSampler(**PICTURES)
    rows, labels = sampler.fit_resample(X, y)
    assert rows is X
    assert labels is y
    assert sampler.model_ is None


def saved(model, path: Path) -> Path:
    run = trainer(0)
    run.strategy.connect(model)
    run.save_checkpoint(path, weights_only=False)
    return path


def test_a_checkpoint_instead_of_training(tmp_path: Path) -> None:
    X, y = pictures()
    schema = ImageSchema(classes=("c", "b", "z"), height=8, width=8, channels=1, image_size=8)  # knows no "a"
    ckpt = saved(DCGAN(schema, latent_dim=8, width=4, seed=5), tmp_path / "model.ckpt")
    sampler = GANSampler(checkpoint=ckpt, random_state=0)
    rows, labels = sampler.fit_resample(X, y)
    assert rows.shape == (18, 8, 8)
    assert labels[13:].tolist() == ["b", "b", "b", "c", "c"]
    assert "class a are wanted, its model knows c, b, z" in refused(
        GANSampler(checkpoint=ckpt, sampling_strategy={"a": 9}), X, y
    )
    assert "makes rows of (8, 8, 1), X has rows of (9, 9, 1)" in refused(sampler, *pictures((9, 9)))
    assert "its DCGAN makes image data, X holds series data" in refused(sampler, *series())
    assert "leave out model, options and steps" in refused(GANSampler(checkpoint=ckpt, steps=3), X, y)
    assert "accelerator" in refused(GANSampler(checkpoint=ckpt, accelerator="tpu"), X, y)
    assert "no checkpoint at" in refused(GANSampler(checkpoint=tmp_path / "none.ckpt"), X, y)


def test_labels_that_a_gap_has_made_floats_are_the_classes_of_a_checkpoint(tmp_path: Path) -> None:
    X, _ = pictures()
    schema = ImageSchema(classes=("0", "1"), height=8, width=8, channels=1, image_size=8)
    ckpt = saved(DCGAN(schema, latent_dim=8, width=4, seed=5), tmp_path / "model.ckpt")
    _, labels = GANSampler(checkpoint=ckpt, random_state=0).fit_resample(X, np.repeat([0.0, 1.0], [9, 4]))
    assert (labels[13:].tolist(), labels.dtype) == ([1.0] * 5, np.float64)


def test_labels_in_one_column_and_tensors_come_back_as_such() -> None:
    X, y = pictures()
    _, labels = GANSampler(**PICTURES).fit_resample(X, pd.DataFrame({"kind": y}))
    assert (list(labels.columns), labels["kind"].value_counts().tolist()) == (["kind"], [6, 6, 6])
    rows, numbers = GANSampler(**PICTURES).fit_resample(torch.from_numpy(X), torch.arange(13)[:, None] // 9)
    assert (rows.dtype, rows.shape) == (torch.uint8, (18, 8, 8))
    assert torch.equal(numbers[:, 0], torch.tensor([0] * 9 + [1] * 4 + [1] * 5))


def test_pictures_that_are_not_uint8_are_pointed_out(capsys, caplog) -> None:
    X, y = pictures((8, 8))
    for rows, hint in (
        (X.astype(float), "X.astype('uint8')"),
        (X / 255, "(X * 255).astype('uint8')"),
        (X / 127.5 - 1, "((X + 1) * 127.5).astype('uint8')"),
    ):
        said = re.escape(f"taken for series of 8 steps of 8 measurements; if they are pictures, give uint8: {hint}")
        with caplog.at_level("INFO"), pytest.warns(UserWarning, match=said + "$"):
            GANSampler(shape=(8, 8), **SERIES).fit_resample(rows.reshape(13, 64), y)
    assert "GANSampler: R3GAN learns for" in caplog.text
    assert "from 13 rows, series data" in caplog.text
    assert not capsys.readouterr().err
    assert "GPU available" not in caplog.text
    with pytest.raises(InputError, match=r"'width' \(R3GAN, which learns from series data, as X is taken for\)"):
        GANSampler(steps=1, options={"width": 8}).fit_resample(X.astype(float) + 0.5, y)


def test_series_of_numbers_between_0_and_1_are_no_pictures(recwarn) -> None:
    rows = np.random.default_rng(0).random((13, 8, 3))
    GANSampler(**SERIES).fit_resample(rows, np.arange(13) // 9)
    assert not [w for w in recwarn if "pictures" in str(w.message)]


def test_dark_pictures_are_pointed_out() -> None:
    X, y = pictures()
    with pytest.warns(UserWarning, match=r"no pixel is above 15, where white is 255: .* such as X \* 17, and shrink"):
        GANSampler(**PICTURES).fit_resample((X // 16).clip(0, 16), y)


def test_a_bar_where_it_is_asked_for(capsys) -> None:
    X, y = pictures()
    GANSampler(**PICTURES, verbose=1).fit_resample(X, y)
    assert "1/1" in capsys.readouterr().out


# ---- bad input ----


def test_bad_rows() -> None:
    X, y = pictures()
    flat = X.reshape(13, 64)
    assert "imblearn.over_sampling.SMOTE makes more" in refused(GANSampler(**PICTURES), flat, y)
    assert "shape (8, 9) does not fit rows of 64 numbers" in refused(GANSampler(shape=(8, 9), **PICTURES), flat, y)
    assert "shape is for X of two dimensions" in refused(GANSampler(shape=(8, 8), **PICTURES), X, y)
    assert "pictures must be uint8" in refused(GANSampler(**PICTURES), X[..., None] / 255, y)
    assert "learns from image data (uint8" in refused(GANSampler(model="DCGAN", **PICTURES), X / 255, y)
    assert "learns from text data" in refused(GANSampler(model=SeqGAN, **TEXTS), X, y)
    gap = series()[0]
    gap[4, 2, 0] = np.nan
    assert "NaN or infinity in row 4" in refused(GANSampler(**SERIES), gap, series()[1])
    assert "X: no rows" in refused(GANSampler(), [], [])
    assert "or a list of strings, not csr_matrix" in refused(GANSampler(), csr_matrix(flat), y)
    assert "row 2 is no string" in refused(GANSampler(), np.array(["a", "b", 3], dtype=object), [0, 0, 1])
    assert "row 1 is an empty sentence" in refused(GANSampler(**TEXTS), ["a b", " ", "c"], [0, 0, 1])
    assert "rows of different shapes" in refused(GANSampler(), [[1, 2], [3]], [0, 1])
    assert "give numbers or strings" in refused(GANSampler(), X > 9, y)

    assert "X (13, 0, 8): there are no numbers in its rows" in refused(GANSampler(), X[:, :0], y)
    assert "row 3 is no string" in refused(GANSampler(**TEXTS), [*SENTENCES[:3], np.nan], [0, 0, 1, 0])
    for shape in ("8", (8.0, 8), 63):
        assert "does not fit rows of 64 numbers" in refused(GANSampler(shape=shape, **PICTURES), flat, y)
    frame = pd.DataFrame(series()[0].reshape(13, 10)).astype({3: "category"})
    assert "X: the column 3 is categorical" in refused(GANSampler(shape=(5, 2), **SERIES), frame, series()[1])


def test_columns_that_may_have_gaps_are_numbers() -> None:
    frame = pd.DataFrame(series()[0].reshape(13, 10))
    nullable = frame.round({3: 0}).astype({3: "Int64", 4: "Float32"})
    X, _ = GANSampler(shape=(5, 2), **SERIES).fit_resample(nullable, series()[1])
    assert list(X.dtypes) == list(nullable.dtypes)
    assert len(X) > 13
    nullable.iloc[4, 3] = pd.NA
    assert "NaN or infinity in row 4" in refused(GANSampler(shape=(5, 2), **SERIES), nullable, series()[1])


def test_bad_labels() -> None:
    X, y = pictures()
    assert "row 3 has no label" in refused(GANSampler(), X, [*y[:3].tolist(), np.nan, *y[4:].tolist()])
    assert "make them all strings" in refused(GANSampler(), X, [*y[:3].tolist(), 1, *y[4:].tolist()])
    assert "y (12,): X has 13 rows" in refused(GANSampler(), X, y[:12])
    gap = y.astype(object)
    gap[3] = None
    assert "row 3 has no label" in refused(GANSampler(), X, gap)
    gap[3] = 5
    assert "make them all strings" in refused(GANSampler(), X, gap)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sampling_strategy": "most"},
            "must be auto, minority, not minority, not majority, all, a dict of",
        ),
        ({"sampling_strategy": {"z": 9}}, "'z' is none of the classes a, b, c"),
        ({"sampling_strategy": {"a": 5}}, "5 rows asked of class a, which has 6"),
        ({"sampling_strategy": {"a": 7.5}}, "7.5 rows asked of class a"),
        ({"sampling_strategy": 0.5}, "is for two classes, y has 3"),
        ({"sampling_strategy": 1.5}, "at most 1"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
        ({"steps": "2"}, "steps must be a whole number or null, not '2'"),
        ({"sampling_strategy": {"a": "9"}}, "9 rows asked of class a"),
        ({"sampling_strategy": {"a": np.nan}}, "nan rows asked of class a"),
        ({"sampling_strategy": {"a": np.inf}}, "inf rows asked of class a"),
        ({"random_state": -1}, "random_state: "),
        ({"accelerator": "abacus"}, "accelerator must be auto, cpu, gpu, cuda or mps"),
        ({"accelerator": "tpu"}, "accelerator must be auto, cpu, gpu, cuda or mps"),
        ({"model": "WGAN"}, "model must be one of DCGAN, "),
        ({"options": {"depth": 3}}, "depth"),
        ({"options": {"preset": "paper", "width": 4}}, "without classes cannot raise one"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    assert message in refused(GANSampler(**{**PICTURES, **options}), *pictures())


def test_a_share_that_is_less_than_there_is() -> None:
    assert "class b has 4 rows, more than 0.3 of 9" in refused(
        GANSampler(sampling_strategy=0.3), *pictures(counts=(9, 4))
    )


def test_uint8_in_a_row_of_one_dimension_is_a_series() -> None:
    X = np.random.default_rng(0).integers(0, 255, (13, 10), dtype=np.uint8)
    sampler = GANSampler(shape=10, **SERIES)  # a slip for (10,)
    made = sampler.fit_resample(X, series()[1])[0]
    assert isinstance(sampler.model_, R3GAN)
    assert (made.shape, made.dtype) == ((16, 10), np.uint8)


def test_containers_keep_the_types_of_what_is_in_them() -> None:
    X, y = pictures()
    for box in (list, tuple):
        made, labels = GANSampler(**PICTURES).fit_resample(box(X), box(y.tolist()))
        assert (type(made), type(labels), len(made)) == (box, box, 18)
        assert {(row.dtype, row.shape) for row in made} == {(np.dtype(np.uint8), (8, 8))}
    words = pd.Series(SENTENCES, dtype="category")
    texts, _ = GANSampler(**TEXTS).fit_resample(words, ["r", "r", "q", "r"])
    assert len(texts) == 6
    assert all(isinstance(text, str) for text in texts)


def test_whole_numbers_beside_others_are_rounded() -> None:
    frame = pd.DataFrame({"f": [0.5, 0.5], "i": np.array([0, 1], dtype=np.int8), "n": pd.array([1, 2], dtype="UInt8")})
    longer = extended(frame, np.array([[0.1, 0.99, -3.0], [0.2, 300.0, 1.5]]))
    assert longer.dtypes.tolist() == frame.dtypes.tolist()
    assert longer.iloc[2:].to_numpy().tolist() == [[0.1, 1, 0], [0.2, 127, 2]]


@pytest.mark.parametrize(("options", "rows"), [(PICTURES, pictures()), (SERIES, series())])
def test_a_fitted_sampler_can_be_saved(options: dict, rows) -> None:
    fitted = GANSampler(**options)
    assert pickle.loads(pickle.dumps(fitted)).get_params() == fitted.get_params()
    fitted.fit_resample(*rows)
    there = pickle.loads(pickle.dumps(fitted))
    assert there.sampling_strategy_ == fitted.sampling_strategy_
    latent = fitted.model_.latent(torch.arange(3), 1)
    y = torch.zeros(3, dtype=torch.long)
    assert torch.equal(there.model_.sample(latent, y)["x"], fitted.model_.sample(latent, y)["x"])
    clone(there)


def test_the_kinds_models() -> None:
    made = [GANSampler(**options) for options in (PICTURES, SERIES, TEXTS)]
    for sampler, data in zip(made, (pictures(), series(), (SENTENCES, [1, 1, 0, 1])), strict=True):
        sampler.fit_resample(*data)
    assert [type(sampler.model_) for sampler in made] == [DCGAN, R3GAN, SeqGAN]
