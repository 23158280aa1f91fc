from types import SimpleNamespace

import pytest
import torch

from datamodules.images.schema import ImageSchema
from ganaug.classifiers import ImageClassifier
from ganaug.classifiers.image_augmentation import flipped, randaugmented, rotated, shifted, trivialaugmented
from ganaug.classifiers.mixing import cutmix, mixup


def dots(count: int = 64, channels: int = 1) -> torch.Tensor:
    """Black pictures with a white dot right of the middle."""
    x = torch.full((count, channels, 16, 16), -1.0)
    x[:, :, 8, 12] = 1
    return x


def test_shifted_moves_pictures_whole() -> None:
    x = dots()
    moved = shifted(x)
    place = (moved[:, 0] == 1).nonzero()[:, 1:] - torch.tensor([8, 12])
    assert moved.shape == x.shape
    assert len(place) == 64
    assert (int(place.min()), int(place.max())) == (-2, 2)
    assert (moved.sum((1, 2, 3)) == x[0].sum()).all()


def test_rotated_turns_about_the_middle() -> None:
    x = torch.rand(32, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(rotated(x, 0.0), x)
    torch.manual_seed(0)
    moved = rotated(dots(500), 90.0)[:, 0] + 1
    grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"), -1) - 7.5
    centre = (moved[..., None] * grid).sum((1, 2)) / moved.sum((1, 2))[:, None]  # (500, 2), y and x from the middle
    torch.testing.assert_close(centre.norm(dim=1), torch.full((500,), (0.5**2 + 4.5**2) ** 0.5), atol=0.15, rtol=0)
    angle = torch.atan2(centre[:, 0], centre[:, 1]).rad2deg() - 6.34
    assert float(angle.min()) == pytest.approx(-90, abs=4)
    assert float(angle.max()) == pytest.approx(90, abs=4)


def test_black_moves_in() -> None:
    white = torch.ones(50, 1, 16, 16)
    for change in (shifted, rotated):
        assert float(change(white).min()) < -0.9
        assert float(change(white).max()) == pytest.approx(1)


def test_flipped_mirrors_half() -> None:
    torch.manual_seed(0)
    x = dots(1000)
    column = (flipped(x)[:, 0] == 1).nonzero()[:, 2]
    assert set(column.tolist()) == {12, 3}
    assert float((column == 3).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_trivialaugment_changes_a_few_pictures_alike(channels: int) -> None:
    torch.manual_seed(0)
    x = (torch.rand(1, channels, 16, 16) * 2 - 1).repeat(83, 1, 1, 1)
    changed = trivialaugmented(x)
    assert changed.shape == x.shape
    assert -1 <= float(changed.min()) <= float(changed.max()) <= 1
    assert 4 < len(torch.unique(changed.flatten(1), dim=0)) <= 11
    assert len(trivialaugmented(x[:3])) == 3


@pytest.mark.parametrize("side", [8, 16, 32])
def test_trivialaugment_leaves_something_of_small_pictures(side: int) -> None:
    """As published, shifts by up to 32 pixels leave an eighth of 8×8 pictures black."""
    torch.manual_seed(0)
    pictures = (2 * torch.rand(1, 1, side, side) - 1).repeat(8000, 1, 1, 1)
    black = trivialaugmented(pictures, alike=4).flatten(1).eq(-1).all(1)
    assert float(black.float().mean()) < 0.02


def test_mixed_pictures_have_mixed_labels() -> None:
    schema = ImageSchema(height=16, width=16, channels=1, image_size=16, classes=("a", "b", "c"))
    batch = {"x": torch.ones(6, 1, 16, 16) * torch.arange(6)[:, None, None, None] / 5, "y": torch.arange(6) % 3}
    for change in (mixup, cutmix):
        torch.manual_seed(0)
        mixed = change(batch, schema)
        assert mixed["x"].shape == batch["x"].shape
        torch.testing.assert_close(mixed["y"].sum(1), torch.ones(6))
        own = mixed["y"].gather(1, batch["y"][:, None])[:, 0]
        means = own * batch["x"][:, 0, 0, 0] + (1 - own) * batch["x"][:, 0, 0, 0].roll(1)
        torch.testing.assert_close(mixed["x"].mean((1, 2, 3)), means)
        batch_of_both = {**batch, "synthetic": torch.arange(6) > 2}
        assert ImageClassifier(schema, width=4, label_smoothing=0.1, augment=[change.__name__]).loss(batch_of_both) > 0


def test_a_mixed_series_is_as_long_as_the_longer() -> None:
    length = torch.tensor([2, 5, 3])
    x = torch.ones(3, 5, 1) * (torch.arange(5) < length[:, None])[:, :, None]
    mixed = mixup({"x": x, "length": length, "y": torch.tensor([0, 1, 1])}, SimpleNamespace(num_classes=2))
    assert mixed["length"].tolist() == [3, 5, 5]
    assert [int(row.count_nonzero()) for row in mixed["x"]] == [3, 5, 5]


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        (1, ("shift", "rotate", "trivialaugment")),
        (2, ("shift", "rotate")),
        (3, ("trivialaugment", "flip")),
        (4, ("shift", "rotate")),
    ],
)
def test_what_is_usual(channels: int, names: tuple[str, ...]) -> None:
    schema = ImageSchema(height=8, width=8, channels=channels, image_size=8, classes=("a", "b"))
    assert ImageClassifier(schema, width=4, augment=True).chosen == names


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_changes_each_picture_by_itself(channels: int) -> None:
    torch.manual_seed(0)
    x = (torch.rand(1, channels, 16, 16) * 2 - 1).repeat(40, 1, 1, 1)
    changed = randaugmented(x)
    assert changed.shape == x.shape
    assert -1 <= float(changed.min()) <= float(changed.max()) <= 1
    assert len(torch.unique(changed.flatten(1), dim=0)) > 20
    torch.manual_seed(0)
    assert torch.equal(randaugmented(torch.rand(1, channels, 16, 16).mul(2).sub(1).repeat(40, 1, 1, 1)), changed)


def test_values_beyond_the_range_are_white_and_do_not_wrap_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.transforms.v2.TrivialAugmentWide.forward", lambda self, x: x)
    x = torch.tensor([-1.05, -1.0, 1.0, 1.05]).view(1, 1, 2, 2)
    assert trivialaugmented(x).flatten().tolist() == [-1.0, -1.0, 1.0, 1.0]
