import pytest
import torch

from datamodules import InputError
from ganaug.gans.diffaug.images import OPERATIONS, augment, color, cutout, translation
from ganaug.gans.diffaug.policy import operations_of


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_translation_moves_whole_pixels_and_brings_in_grey() -> None:
    x = torch.randn(200, 2, 16, 16)
    moved = translation(x)
    shifts = set()
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    for before, after in zip(padded, moved, strict=True):
        found = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if torch.equal(before[:, 4 - dy : 20 - dy, 4 - dx : 20 - dx], after)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) == 25  # every shift of up to an eighth occurs


def test_cutout_blanks_a_square_of_half_the_side() -> None:
    holes = cutout(torch.ones(500, 3, 16, 16)) == 0
    assert torch.equal(holes[:, 0], holes[:, 2])
    areas = holes[:, 0].flatten(1).sum(1)
    assert areas.max() == 64
    assert areas.min() >= 16  # a corner's quarter
    assert holes[:, 0].any(0).all()  # everywhere


def test_color_changes_brightness_saturation_and_contrast_within_bounds() -> None:
    x = torch.rand(400, 3, 8, 8) * 2 - 1
    y = color(x)
    brightness = (y - x).mean((1, 2, 3))
    assert brightness.min() >= -0.5
    assert brightness.max() <= 0.5
    assert brightness.std() == pytest.approx(1 / 12**0.5, rel=0.15)
    grey_x, grey_y = x.mean(1).flatten(1), y.mean(1).flatten(1)
    contrast = grey_y.std(1) / grey_x.std(1)
    assert contrast.min() >= 0.499
    assert contrast.max() <= 1.501
    one = torch.rand(4, 1, 8, 8)
    spread = color(one).flatten(1).std(1) / one.flatten(1).std(1)  # grey has no saturation to lose
    assert ((spread > 0.499) & (spread < 1.501)).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_differentiable_twice(name: str) -> None:
    x = torch.randn(3, 2, 8, 8, requires_grad=True)
    (first,) = torch.autograd.grad(augment(x, (name,)).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.abs().sum() > 0


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_and_dtype_stay(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, 8, 8, dtype=dtype)
    assert augment(x, (name,)).dtype == dtype
    assert augment(x, (name,)).shape == x.shape


def test_probability_is_per_sample() -> None:
    x = torch.ones(4000, 1, 8, 8)
    for probability in (0.0, 0.3, torch.tensor(0.3)):
        changed = (augment(x, ("cutout",), probability) != x).flatten(1).any(1).float().mean()
        assert changed.item() == pytest.approx(float(probability), abs=0.03)


def test_no_policy_is_no_change() -> None:
    x = torch.randn(2, 1, 8, 8)
    assert augment(x, operations_of("", OPERATIONS)) is x


def test_unknown_operations_are_refused() -> None:
    assert operations_of(" color, cutout ", OPERATIONS) == ("color", "cutout")
    with pytest.raises(InputError, match="unknown operation 'colour'; known are color, translation, cutout"):
        operations_of("colour", OPERATIONS)
