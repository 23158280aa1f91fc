"""Pictures of series have the axes they should, survive odd data, and leave nothing behind."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from PIL import Image
from sklearn.decomposition import PCA
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.evaluation.figures import save_figure
from ganaug.evaluation.series_plots import compare_figure, sample_figure
from ganaug.kind import kind_of
from ganaug.loggers import write

torch.set_num_threads(1)


def schema(classes: tuple[str, ...] = (), columns: int = 2, length: int = 12) -> SeriesSchema:
    return SeriesSchema(
        classes=classes,
        columns=tuple(f"c{i}" for i in range(columns)),
        dtypes=("float64",) * columns,
        offset=(10.0,) * columns,
        scale=(2.0,) * columns,
        length=length,
    )


def rows(given: SeriesSchema, n: int, seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    length = torch.randint(1, given.length + 1, (n,), generator=rng)
    x = torch.rand(n, given.length, given.features, generator=rng)
    inside = (torch.arange(given.length) < length[:, None])[:, :, None]
    return {"x": x * inside, "length": length, "y": torch.arange(n) % given.num_classes}


def lines(axes) -> list[np.ndarray]:
    (found,) = (c for c in axes.collections if isinstance(c, LineCollection))
    return [path.vertices for path in found.get_paths()]


def test_samples_by_class_in_their_units():
    given = schema(("walk", "run", "sit"), columns=2)
    batch = rows(given, 33)
    figure = sample_figure(given, batch)
    grid = np.array(figure.axes).reshape(3, 2)
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["walk", "run", "sit"]
    assert [axes.get_title() for axes in grid[0]] == ["c0", "c1"]
    for c in range(3):
        chosen = torch.nonzero(batch["y"] == c).flatten()[:10]
        for column in range(2):
            drawn = lines(grid[c, column])
            assert len(drawn) == 10
            for line, row in zip(drawn, chosen, strict=True):
                n = int(batch["length"][row])
                np.testing.assert_allclose(line[:, 0], np.arange(n))
                np.testing.assert_allclose(line[:, 1], 10 + 2 * batch["x"][row, :n, column], rtol=1e-6)
            low, high = grid[c, column].get_ylim()
            assert low < min(line[:, 1].min() for line in drawn)
            assert high > max(line[:, 1].max() for line in drawn)


def test_no_more_than_can_be_seen():
    given = schema(tuple(f"class-{i}" for i in range(12)), columns=7)
    figure = sample_figure(given, rows(given, 24))
    assert len(figure.axes) == 8 * 4
    assert figure.texts[0].get_text() == "8 of 12 classes, 4 of 7 columns"
    figure.canvas.draw()
    beside = [axes.xaxis.label.get_window_extent() for axes in figure.axes[-4:]]
    assert not any(figure.texts[0].get_window_extent().overlaps(label) for label in beside)


def test_names_that_the_font_lacks():
    given = schema(("步行", "a $x$ b$", "x" * 40), columns=1)
    figure = sample_figure(given, rows(given, 3))
    assert [axes.get_ylabel() for axes in figure.axes] == ["class 0", r"a \$x\$ b\$", "x" * 23 + "…"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of missing letters when it draws
        figure.canvas.draw()


def test_without_classes_there_is_one_row():
    given = schema(columns=3)
    figure = sample_figure(given, rows(given, 5))
    assert len(figure.axes) == 3
    assert figure.axes[0].get_ylabel() == ""


def test_real_beside_synthetic():
    given = schema(columns=8)
    figure = compare_figure(given, rows(given, 40), rows(given, 30, seed=1))
    (above, below) = figure.subfigs
    assert [axes.get_title() for axes in above.axes] == ["PCA of the real series", "t-SNE"]
    for axes in above.axes:
        assert [len(points.get_offsets()) for points in axes.collections] == [40, 30]
    assert len(below.axes) == 2 * 6
    marginals, curves = below.axes[:6], below.axes[6:]
    for axes in marginals:
        assert [sum(b.get_height() * b.get_width() for b in bars) for bars in axes.containers] == pytest.approx([1, 1])
    for axes in curves:
        assert [line.get_ydata()[0] for line in axes.lines] == pytest.approx([1, 1])


def test_the_components_are_those_of_the_real_series():
    given = schema(columns=2, length=5)
    real, synthetic = rows(given, 50), rows(given, 20, seed=1)
    inside = [np.arange(5) < batch["length"][:, None].numpy() for batch in (real, synthetic)]
    values = [given.decode(batch["x"]) for batch in (real, synthetic)]
    deviation = values[0][inside[0]].std(0)
    flat = [np.where(i[:, :, None], v / deviation, 0).reshape(len(v), -1) for v, i in zip(values, inside, strict=True)]
    expected = PCA(2).fit(flat[0]).transform(flat[1])
    found = np.asarray(compare_figure(given, real, synthetic).subfigs[0].axes[0].collections[1].get_offsets())
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-5, atol=1e-6)  # their signs are anyone's


def odd(kind: str) -> tuple[SeriesSchema, Batch, Batch]:
    if kind == "two rows":
        given = schema()
        return given, rows(given, 2), rows(given, 2, seed=1)
    if kind == "one row":
        given = schema()
        return given, rows(given, 1), rows(given, 1, seed=1)
    if kind == "one step, one column":
        given = schema(columns=1, length=1)
        return given, rows(given, 5), rows(given, 7, seed=1)
    given = schema()
    constant = {**rows(given, 20), "x": torch.full((20, 12, 2), 0.3)}
    return (given, constant, rows(given, 9)) if kind == "constant" else (given, constant, constant)


@pytest.mark.parametrize("kind", ["two rows", "one row", "one step, one column", "constant", "all equal"])
def test_odd_data(kind, tmp_path: Path):
    given, real, synthetic = odd(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(compare_figure(given, real, synthetic), tmp_path / "compare.png")
        save_figure(sample_figure(given, real), tmp_path / "sample.png")
    assert Image.open(tmp_path / "compare.png").size[0] >= 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.png", "sample.png"]


def test_the_same_picture_and_no_trace(monkeypatch):
    monkeypatch.setattr("ganaug.evaluation.series_plots.POINTS", 30)
    given = schema()
    real, synthetic = rows(given, 50), rows(given, 10, seed=1)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002

    def points(seed: int) -> np.ndarray:
        (axes, _) = compare_figure(given, real, synthetic, seed).subfigs[0].axes
        return np.asarray(axes.collections[0].get_offsets())

    first = points(0)
    assert first.shape == (30, 2)
    assert np.array_equal(first, points(0))
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_a_preview_in_tensorboard(tmp_path: Path):
    given = schema(("a", "b"))
    writer = SummaryWriter(str(tmp_path))
    write(writer, "samples", kind_of(given).preview(given, rows(given, 8)), 7)
    writer.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    (image,) = events.Images("samples")
    assert image.step == 7
    assert image.width > image.height > 100
