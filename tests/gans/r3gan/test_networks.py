import math

import pytest
import torch
import torch.nn.functional as F

from ganaug.gans.r3gan.networks import (
    Block,
    Discriminator,
    Generator,
    Pointwise,
    Shape,
    downsampled,
    pyramid,
    reflected,
)

torch.set_num_threads(1)
PLACES = [(1, 24), (1, 29), (1, 1), (32, 32), (28, 28), (8, 64)]


def test_resolutions_halve_down_to_four_places() -> None:
    assert pyramid((32, 32)) == [(4, 4), (8, 8), (16, 16), (32, 32)]
    assert pyramid((28, 28)) == [(4, 4), (7, 7), (14, 14), (28, 28)]
    assert pyramid((1, 24)) == [(1, 3), (1, 6), (1, 12), (1, 24)]
    assert pyramid((1, 1)) == [(1, 1)]
    assert pyramid((1, 48), 4) == [(1, 6), (1, 12), (1, 24), (1, 48)]  # of a network for 24 steps


def test_a_pointwise_layer_is_a_convolution() -> None:
    layer, x = Pointwise(3, 5), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight[:, :, None, None]))


def test_a_block_begins_as_the_identity_and_its_weights_are_scaled_by_the_depth() -> None:
    torch.manual_seed(0)
    block, x = Block((8, 8), 32, Shape([32], 2, 2, 16), 4), torch.randn(2, 32, 8, 8)
    assert torch.equal(block(x), x)
    first, three, _, last = block.layers
    gain = math.sqrt(2 / 1.04) * 8**-0.25  # He's for a leaky ReLU of slope 0.2, and L^(−1/4)
    assert first.weight.std().item() == pytest.approx(gain / 32**0.5, rel=0.05)
    assert tuple(three.weight.shape) == (64, 16, 3, 3)  # four groups of 16 channels
    assert three.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)
    assert not last.weight.any()


def test_downsampling_takes_means_and_keeps_a_last_odd_place() -> None:
    assert downsampled(torch.tensor([[[[1.0, 3.0, 5.0, 7.0, 9.0]]]])).flatten().tolist() == [2.0, 6.0, 9.0]
    assert downsampled(torch.arange(4.0).view(1, 1, 2, 2)).item() == 1.5


def test_a_basis_goes_on_by_reflection() -> None:
    basis = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert reflected(basis, (1, 8)).flatten().tolist() == [1, 2, 3, 3, 2, 1, 1, 2]
    assert reflected(basis, (1, 2)).flatten().tolist() == [1, 2]
    assert reflected(basis, (1, 3)) is basis


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize(("dense", "stride"), [(False, 1), (True, 2)])
def test_both_networks_for_any_places(places: tuple[int, int], dense: bool, stride: int) -> None:
    torch.manual_seed(0)
    shape = Shape([32, 16], 1, 2, 8, dense, stride)
    generator, discriminator = Generator(places, 5, 16, 3, 2, shape), Discriminator(places, 5, 2, shape)
    z, told = torch.randn(64, 16), torch.eye(2)[torch.arange(64) % 2]
    levels = generator.levels(places)
    assert levels[-1] == tuple(-(-side // stride) for side in places)
    x = generator(z, told, [torch.randn(64, 3, *level) for level in levels])
    assert x.shape == (64, 5, *places)
    assert 0.3 < x.std() < 3  # neither vanishes nor explodes
    logits = discriminator(x, told)
    assert logits.shape == (64,)
    torch.testing.assert_close(discriminator(x[:3], told[:3]), logits[:3])  # of each row alone
    assert not torch.allclose(discriminator(x, told.flip(1)), logits)  # the class counts
    assert not torch.allclose(generator(z, told.flip(1), [torch.zeros(64, 3, *level) for level in levels]), x)


def test_a_dense_innermost_resolution_goes_on_by_reflection_too() -> None:
    torch.manual_seed(0)
    generator = Generator((1, 8), 1, 4, 0, 0, Shape([8], 1, 1, 0, True, 2))
    longer = generator(torch.randn(3, 4), places=(1, 13))
    assert longer.shape == (3, 1, 1, 13)
    assert longer[..., 8:].std() > 0


def test_noise_at_every_place_is_weighed_by_z() -> None:
    """At first by 1, whatever z is; z reaches a dense network's channels at every resolution."""
    generator = Generator((8, 8), 1, 4, 2, 0, Shape([8], 1, 1, 0, True))
    assert all(torch.equal(gain.weight, torch.zeros_like(gain.weight)) for gain in generator.gains)
    x, z = torch.randn(2, 8, 4, 4), torch.randn(2, 4)
    assert torch.equal(generator.gains[0](x, z), x)
    generator.gains[0].weight.data[3] = 1.0
    torch.testing.assert_close(generator.gains[0](x, z)[:, 3], x[:, 3] * (1 + z.sum(1))[:, None, None])


def test_a_dense_discriminator_sees_places() -> None:
    """Features that change places are other features to it; those of a basis of ones are the same."""
    torch.manual_seed(0)
    dense, summed = (Discriminator((4, 4), 3, 2, Shape([8], 1, 1, 0, which)) for which in (True, False))
    summed.basis.data.fill_(1.0)
    x, told = torch.randn(5, 3, 4, 4), torch.eye(2)[[0, 1, 0, 1, 0]]
    turned = x.flip(2)  # blocks begin as the identity: nothing else looks at neighbours yet
    torch.testing.assert_close(summed(x, told), summed(turned, told))
    assert not torch.allclose(dense(x, told), dense(turned, told))


def test_the_condition_is_a_product_beside_what_all_classes_share() -> None:
    """Miyato and Koyama 2018, eq. 3: logits of two classes differ by a linear function of the same features."""
    torch.manual_seed(0)
    discriminator, x = Discriminator((8, 8), 1, 3, Shape([8], 1, 1, 0)), torch.randn(4, 1, 8, 8)
    each = [discriminator(x, row.expand(4, 3)) for row in torch.eye(3)]
    none = discriminator(x, torch.zeros(4, 3))
    mixed = discriminator(x, torch.full((4, 3), 0.5))
    torch.testing.assert_close(mixed - none, 0.5 * sum(one - none for one in each))
