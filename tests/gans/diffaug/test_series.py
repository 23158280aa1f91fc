import pytest
import torch

from datamodules import InputError
from ganaug.gans.diffaug.policy import operations_of
from ganaug.gans.diffaug.series import OPERATIONS, Seen, augment

NUMERIC = torch.tensor([True, True, False])[:, None]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def seen(rows: int = 200, steps: int = 16) -> Seen:
    return Seen(torch.randn(rows, 3, steps), torch.ones(rows, 3, steps))


def test_scale_is_one_factor_a_series_and_leaves_words_alone() -> None:
    before = seen(2000)
    after = OPERATIONS["scale"](before, NUMERIC)
    factor = (after.x / before.x)[:, :2]
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    assert factor[:, 0, 0].log().std().item() == pytest.approx(0.2, rel=0.05)
    assert torch.equal(after.x[:, 2], before.x[:, 2])
    assert torch.equal(after.known, before.known)


def test_offset_is_a_number_for_each_column_and_leaves_words_alone() -> None:
    before = seen(2000)
    by = (OPERATIONS["offset"](before, NUMERIC).x - before.x)[:, :2]
    torch.testing.assert_close(by, by[:, :, :1].expand_as(by))
    assert by[:, :, 0].std().item() == pytest.approx(0.2, rel=0.05)
    assert not torch.allclose(by[:, 0], by[:, 1])
    assert torch.equal(OPERATIONS["offset"](before, NUMERIC).x[:, 2], before.x[:, 2])


def test_shift_moves_whole_steps_and_what_comes_in_is_not_known() -> None:
    before = seen()
    after = OPERATIONS["shift"](before, NUMERIC)
    found = set()
    for k in range(len(before.x)):
        by = next(d for d in range(-2, 3) if torch.equal(after.x[k], moved(before.x[k], d)))
        assert torch.equal(after.known[k], moved(before.known[k], by))
        found.add(by)
    assert found == {-2, -1, 0, 1, 2}  # up to an eighth of 16


def moved(x: torch.Tensor, by: int) -> torch.Tensor:
    out = torch.zeros_like(x)
    steps = x.shape[-1]
    out[..., max(0, by) : steps + min(0, by)] = x[..., max(0, -by) : steps + min(0, -by)]
    return out


def test_cutout_hides_a_quarter_anywhere() -> None:
    after = OPERATIONS["cutout"](seen(500), NUMERIC)
    hidden = after.known[:, 0] == 0
    assert torch.equal(after.known[:, 0], after.known[:, 2])
    assert hidden.sum(1).max() == 4
    assert hidden.any(0).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_numbers_are_changed_linearly_row_by_row_and_with_the_probability(name: str) -> None:
    a, b = seen(), seen()

    def changed(x: torch.Tensor, probability: float = 1.0) -> Seen:
        torch.manual_seed(1)
        return augment(Seen(x, a.known), NUMERIC, (name,), probability)

    middle, ends = changed(0.5 * (a.x + b.x)), (changed(a.x), changed(b.x))
    torch.testing.assert_close(middle.x, 0.5 * (ends[0].x + ends[1].x), atol=1e-5, rtol=1e-4)
    half = changed(a.x, 0.5)
    same = ((half.x == a.x) & (half.known == a.known)).all(2).all(1)
    assert 0.35 < same.float().mean() < 0.75  # a shift by 0 changes nothing either
    never = changed(a.x, 0.0)
    assert torch.equal(never.x, a.x)


def test_unknown_operations_get_one_line() -> None:
    assert operations_of(" shift, scale ", OPERATIONS) == ("shift", "scale")
    assert operations_of("", OPERATIONS) == ()
    with pytest.raises(InputError, match="unknown operation 'color'; known are scale, offset, shift, cutout"):
        operations_of("shift,color", OPERATIONS)
