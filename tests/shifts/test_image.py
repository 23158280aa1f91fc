"""Pictures as a worse camera takes them."""

import pytest
import torch

from datamodules.images.schema import ImageSchema
from ganaug.shifts.image import SHIFTS
from ganaug.shifts.shift import Shift


def pictures(channels: int = 1, size: int = 16, count: int = 24) -> tuple[ImageSchema, dict[str, torch.Tensor]]:
    """Smooth pictures of one quarter white, padded to ``size`` and 6 more."""
    schema = ImageSchema(height=size, width=size + 2, channels=channels, image_size=size + 7, classes=("a", "b"))
    x = torch.full((count, channels, size, size + 2), 40, dtype=torch.uint8)
    x[:, :, : size // 2, : size // 2] = 220
    return schema, {"x": schema.encode(x.permute(0, 2, 3, 1).numpy()), "y": torch.arange(count) % 2}


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_rows_stay_rows_and_padding_stays_black(name: str, channels: int) -> None:
    schema, rows = pictures(channels)
    before = rows["x"].clone()
    found = SHIFTS[name](rows, schema, 5)
    assert torch.equal(rows["x"], before), "the rows themselves are left alone"
    assert (found["x"].dtype, found["x"].shape) == (torch.uint8, before.shape)
    assert torch.equal(found["y"], rows["y"])
    black = torch.ones(before.shape[2:], dtype=torch.bool)
    black[3:19, 2:20] = False
    assert not bool(found["x"][:, :, black].any())
    assert bool((found["x"] != before).flatten(1).any(1).all())
    state = torch.get_rng_state()
    assert torch.equal(SHIFTS[name](rows, schema, 5)["x"], found["x"])
    assert torch.equal(torch.get_rng_state(), state)
    one = SHIFTS[name]({field: rows[field][:1] for field in rows}, schema, 0)
    assert one["x"].shape == before[:1].shape


@pytest.mark.parametrize("name", SHIFTS)
def test_stronger_is_further_away(name: str) -> None:
    schema, rows = pictures()
    shift, away = SHIFTS[name], []
    for strength in shift.strengths:
        torch.manual_seed(0)
        changed = shift.change(rows, schema, strength)["x"]
        away.append(float((changed.float() - rows["x"].float()).abs().mean()))
    assert away == sorted(away)
    assert 0 < away[0] < away[-1]


def test_pictures_of_other_sides_and_of_a_single_pixel() -> None:
    for height, width in ((1, 1), (3, 20)):
        schema = ImageSchema(height=height, width=width, channels=1, image_size=(height, width), classes=("a", "b"))
        rows = {"x": torch.full((3, 1, height, width), 100, dtype=torch.uint8), "y": torch.tensor([0, 1, 0])}
        for name in ("blur", "contrast", "translate", "rotate"):
            assert torch.equal(SHIFTS[name](rows, schema, 0)["x"], rows["x"]), "an even picture shows none of these"


@pytest.mark.parametrize("count", [30, 31])
def test_at_each_strength_as_many(count: int) -> None:
    asked: list[tuple[int, float]] = []
    shift = Shift(lambda rows, _, strength: asked.append((len(rows["y"]), strength)) or rows, (0.1, 0.2, 0.4))
    shift({"x": torch.zeros(count, 1, 4, 4), "y": torch.arange(count)}, None, 3)
    assert [strength for _, strength in asked] == [0.1, 0.2, 0.4]
    assert sorted(many for many, _ in asked) == [10, 10, count - 20]
