"""SMOTE makes classes equal, with rows between real neighbours of one class."""

import builtins

import numpy as np
import pytest
import torch

from datamodules import ImageSchema, InputError, TextSchema
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.study.smote import smote

torch.set_num_threads(1)

NAMES = ("many", "some", "few", "one", "none")
COUNTS = (30, 12, 4, 1, 0)
PICTURES = ImageSchema(classes=NAMES, height=8, width=8, channels=1, image_size=8)
SERIES = SeriesSchema(
    classes=NAMES,
    columns=("a", "b"),
    dtypes=("float64",) * 2,
    offset=(0.0,) * 2,
    scale=(1.0,) * 2,
    length=6,
    static=("age",),
    static_dtypes=("float64",),
    static_offset=(0.0,),
    static_scale=(1.0,),
    static_categories=((),),
)
Y = torch.arange(5).repeat_interleave(torch.tensor(COUNTS))[torch.randperm(47, generator=torch.Generator())]


def pictures() -> Batch:
    rng = np.random.default_rng(0)
    return {"x": torch.from_numpy(rng.integers(0, 256, (47, 1, 8, 8), dtype=np.uint8)), "y": Y, "row": Y * 0}


def series() -> Batch:
    rng = torch.Generator().manual_seed(0)
    x, static = torch.rand(47, 6, 2, generator=rng), torch.rand(47, 1, generator=rng)
    return {"x": x, "static": static, "length": torch.full((47,), 6), "y": Y, "observed": torch.ones(47, 6, 2)}


def between(made: torch.Tensor, real: torch.Tensor, k: int, slack: float) -> bool:
    """Whether each row made (M, d) lies on a line from a real row (N, d) to one of its k nearest."""
    real, made = real.double(), made.double()
    neighbours = torch.cdist(real, real).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    start = real.repeat_interleave(k, 0)
    line = real[neighbours.flatten()] - start  # (N · k, d)
    away = made[:, None] - start  # (M, N · k, d)
    share = ((away * line).sum(2) / line.square().sum(1)).clamp(0, 1)
    return bool(((away - share[:, :, None] * line).abs().amax(2).amin(1) <= slack).all())


@pytest.mark.parametrize("kind", ["image", "series"])
def test_classes_come_out_equal_and_real_rows_first(kind: str) -> None:
    rows, schema = (pictures(), PICTURES) if kind == "image" else (series(), SERIES)
    made = smote(rows, schema)
    assert made["y"].bincount(minlength=5).tolist() == [30, 30, 30, 30, 0]
    assert sorted(made) == (["x", "y"] if kind == "image" else ["length", "static", "x", "y"])
    for name, field in made.items():
        assert torch.equal(field[:47], rows[name])
        assert field.dtype == rows[name].dtype
        assert len(field) == 120


def test_new_series_lie_between_neighbours_of_the_class() -> None:
    rows = series()
    made = smote(rows, SERIES)
    new, old = (torch.cat([b["x"].flatten(1), b["static"]], 1)[s] for b, s in ((made, slice(47, None)), (rows, ...)))
    for c, k in ((1, 5), (2, 3)):
        mine = new[made["y"][47:] == c]
        assert len(mine) == 30 - COUNTS[c]
        assert between(mine, old[c == Y], k, 1e-6)
        assert not between(mine, old[Y == 0], 5, 1e-2)
        assert not (torch.cdist(mine, old) < 1e-4).any()
    assert (new[made["y"][47:] == 3] == old[Y == 3]).all()  # one row alone is repeated
    assert (made["length"] == 6).all()


def test_new_pictures_lie_between_neighbours_of_the_class() -> None:
    rows = pictures()
    made = smote(rows, PICTURES)
    for c, k in ((1, 5), (2, 3)):
        mine = made["x"][47:][made["y"][47:] == c].flatten(1)
        # Rounding to whole greys moves a pixel, and with it the point of the line that is nearest, by a half.
        assert between(mine, rows["x"][c == Y].flatten(1), k, 1.01)
    assert (made["x"][47:][made["y"][47:] == 3] == rows["x"][Y == 3]).all()


def test_two_rows_mix_with_each_other() -> None:
    rows = {"x": torch.tensor([0, 255, 9, 9, 9, 9], dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)}
    rows |= {"y": torch.tensor([1, 1, 0, 0, 0, 0])}
    new = smote(rows, PICTURES)["x"][6:]
    assert len(new) == 2
    assert (new.flatten(1) == new[:, 0, 0, :1]).all()


def test_the_seed_alone_decides() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (smote(pictures(), PICTURES, seed)["x"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_equal_classes_and_one_class_stay_as_they_are() -> None:
    rows = pictures()
    for y in (torch.zeros(47, dtype=torch.long), torch.arange(47) % 47 // 24):
        count = 47 if y.max() == 0 else 46
        made = smote({"x": rows["x"][:count], "y": (y if y.max() == 0 else torch.arange(47) % 2)[:count]}, PICTURES)
        assert torch.equal(made["x"], rows["x"][:count])


def test_what_cannot_be_mixed_is_refused() -> None:
    text = TextSchema(classes=NAMES, vocabulary=("a", "b"), max_length=3, ends=False)
    with pytest.raises(InputError, match="text has none: leave out the arm smote"):
        smote({"x": torch.zeros(3, 3, dtype=torch.long), "y": torch.zeros(3, dtype=torch.long)}, text)
    rows = series()
    with pytest.raises(InputError, match="series of one length"):
        smote({**rows, "length": torch.arange(47) % 6 + 1}, SERIES)
    with pytest.raises(InputError, match="without missing values"):
        smote({**rows, "observed": torch.zeros(47, 6, 2)}, SERIES)
    with pytest.raises(InputError, match="NaN or infinity in static"):
        smote({**rows, "static": torch.full((47, 1), torch.nan)}, SERIES)
    with pytest.raises(InputError, match="at least one row"):
        smote({name: field[:0] for name, field in rows.items()}, SERIES)


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def missing(name: str, *args, **options):
        if name.startswith("imblearn"):
            raise ImportError(name)
        return plain(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError) as caught:
        smote(pictures(), PICTURES)
    assert str(caught.value) == "SMOTE needs imbalanced-learn: pip install 'ganaug[smote]'"
