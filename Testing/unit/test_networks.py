"""Shapes, bounds, geometry and structure of the networks."""

import math
from typing import TypeVar

import pytest
import torch
from tiny_models import CLASSES, untrained_pipeline
from torch import nn

from PediatricRenalSegLib.networks.affine import compose, invert, resample, sampling_grid
from PediatricRenalSegLib.networks.crop_stn import CropSTN, square_box
from PediatricRenalSegLib.networks.localization import LocalizationNetwork
from PediatricRenalSegLib.networks.pipeline import CROP_DIVISORS, SegmentationPipeline
from PediatricRenalSegLib.networks.pose_stn import PoseSTN, similarity
from PediatricRenalSegLib.networks.unet import BOTTLENECK_SIZE, SMALLEST_SKIP_SIZE, UNet

Layer = TypeVar("Layer", bound=nn.Module)
SIZE = 256
IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
EXTREME = 100
"""Factor on random weights: every bounded function is driven to its ends."""


def random_slices(count=2, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, 1, size, size, generator=generator)
    return image, (torch.rand(count, 1, size, size, generator=generator) > 0.5).float()


def random_similarities(count=16, seed=0):
    """Matrices all over the range that the pose STN can reach."""
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.rand(count, 5, generator=generator) - 1
    angle = PoseSTN.max_angle * values[:, 0]
    return similarity(angle, torch.exp(PoseSTN.max_log_scale * values[:, 1:3]), PoseSTN.max_shift * values[:, 3:])


def square_matrix(theta):
    """``(B, 2, 3) -> (B, 3, 3)``."""
    return torch.cat([theta, torch.tensor([[[0.0, 0, 1]]]).expand(len(theta), 1, 3)], dim=1)


def gaussian_blob(x=150.0, y=110.0, sigma=6.0, size=SIZE):
    pixels = torch.arange(size)
    return torch.exp(-((pixels - x) ** 2 + (pixels[:, None] - y) ** 2) / (2 * sigma**2))[None, None]


def centroid(image):
    """(x, y) in pixels."""
    weights, pixels = image[0, 0] / image.sum(), torch.arange(image.shape[-1])
    return (weights.sum(0) * pixels).sum().item(), (weights.sum(1) * pixels).sum().item()


# Localization and STNs


@pytest.mark.parametrize("size", [64, 256])
def test_localization_takes_any_size(size):
    assert LocalizationNetwork(outputs=5)(torch.zeros(3, 2, size, size)).shape == (3, 5)


@pytest.mark.parametrize("stn", [PoseSTN, CropSTN])
def test_stn_starts_at_identity(stn):
    matrices = stn()(*random_slices(3))
    assert matrices.shape == (3, 2, 3)
    torch.testing.assert_close(matrices, IDENTITY.expand(3, 2, 3))


@pytest.mark.parametrize("seed", range(20))
def test_pose_is_bounded(seed):
    pose = extreme(PoseSTN, seed)
    scales = pose[:, :, :2].norm(dim=1)
    angles = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    determinants = torch.linalg.det(pose[:, :, :2])
    largest, rounding = math.exp(PoseSTN.max_log_scale), 1e-4
    assert torch.isfinite(pose).all()
    assert (scales >= 1 / largest - rounding).all() and (scales <= largest + rounding).all()
    assert (determinants >= 1 / largest**2 - rounding).all() and (determinants <= largest**2 + rounding * 100).all()
    assert (angles.abs() <= PoseSTN.max_angle + rounding).all()
    assert (pose[:, :, 2].abs() <= PoseSTN.max_shift + rounding).all()


@pytest.mark.parametrize("seed", range(20))
def test_crop_is_a_bounded_square(seed):
    crop = extreme(CropSTN, seed)
    half = crop[:, 0, 0]
    assert torch.isfinite(crop).all()
    assert (crop[:, 0, 1] == 0).all() and (crop[:, 1, 0] == 0).all()
    assert (half == crop[:, 1, 1]).all()
    assert (half >= CropSTN.smallest).all() and (half <= 1).all()


def extreme(stn, seed):
    torch.manual_seed(seed)
    network = stn()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_().mul_(EXTREME)
        return network(*random_slices(4, 64, seed))


def test_extreme_weights_reach_the_bounds():
    """Otherwise the two tests above show nothing."""
    poses = torch.cat([extreme(PoseSTN, seed) for seed in range(20)])
    crops = torch.cat([extreme(CropSTN, seed) for seed in range(20)])
    largest = math.exp(PoseSTN.max_log_scale)
    scales = poses[:, :, :2].norm(dim=1)
    assert scales.max() > 0.99 * largest and scales.min() < 1.01 / largest
    assert crops[:, 0, 0].max() == 1 and crops[:, 0, 0].min() == CropSTN.smallest


def test_square_box_keeps_center_and_mean_side():
    box = square_box(torch.tensor([[-0.5, -0.2]]), torch.tensor([[0.7, 0.6]]), 0.25)
    torch.testing.assert_close(box, torch.tensor([[[0.5, 0, 0.1], [0, 0.5, 0.2]]]))


def test_similarity_turns_x_toward_y():
    turned = similarity(torch.tensor([math.pi / 2]), torch.tensor([[2.0, 3.0]]), torch.tensor([[0.1, 0.2]]))
    torch.testing.assert_close(turned[0] @ torch.tensor([1.0, 0, 1]), torch.tensor([0.1, 2.2]))


# Affine matrices


def test_compose_and_invert_agree_with_homogeneous_matrices():
    first, second = random_similarities(seed=1), random_similarities(seed=2)
    product = square_matrix(first) @ square_matrix(second)
    torch.testing.assert_close(square_matrix(compose(first, second)), product)
    torch.testing.assert_close(square_matrix(invert(first)), torch.linalg.inv(square_matrix(first)))


def test_inverse_undoes():
    theta = random_similarities()
    for both in (compose(theta, invert(theta)), compose(invert(theta), theta)):
        torch.testing.assert_close(both, IDENTITY.expand_as(both), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_resampling_with_the_inverse_returns_a_blob(seed):
    torch.manual_seed(seed)
    angle, scale, shift = torch.rand(1) - 0.5, 0.8 + 0.5 * torch.rand(1, 2), 0.2 * (torch.rand(1, 2) - 0.5)
    theta, blob = similarity(angle, scale, shift), gaussian_blob()
    moved = resample(blob, theta, SIZE, SIZE)
    assert math.dist(centroid(moved), centroid(blob)) > 1
    assert math.dist(centroid(resample(moved, invert(theta), SIZE, SIZE)), centroid(blob)) < 0.1


def test_sampling_grid_is_affine_grid():
    theta = random_similarities(4)
    expected = torch.nn.functional.affine_grid(theta, [4, 1, 48, 64], align_corners=False)
    torch.testing.assert_close(sampling_grid(theta, 48, 64), expected)


def test_composition_samples_the_same_coordinates():
    """One resampling reads where two, one after the other, would have read."""
    first, second = random_similarities(4, seed=1), random_similarities(4, seed=2)
    through_second = sampling_grid(second, 32, 32)
    through_both = torch.einsum("bij,bhwj->bhwi", first[:, :, :2], through_second) + first[:, None, None, :, 2]
    torch.testing.assert_close(sampling_grid(compose(first, second), 32, 32), through_both)


def test_mixed_precision_leaves_coordinates_exact():
    """bfloat16 has 8 bits: a matrix product in it moves pixels by up to one."""
    first, second = random_similarities(4, seed=1), random_similarities(4, seed=2)

    def results():
        return (
            compose(first, second),
            invert(first),
            resample(gaussian_blob().expand(4, 1, SIZE, SIZE), first, SIZE, SIZE),
        )

    exact = results()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = results()
    for expected, found in zip(exact, mixed):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_outside_value():
    far = similarity(torch.zeros(1), torch.ones(1, 2), torch.full((1, 2), 5.0))
    assert (resample(torch.ones(1, 1, 8, 8), far, 8, 8, outside=-3.0) == -3).all()


# Pipeline


@pytest.mark.parametrize("crop", CROP_DIVISORS)
def test_pipeline_shapes_and_scripting(crop):
    network = untrained_pipeline(crop)
    image, mask = random_slices()
    with torch.inference_mode():
        eager, scripted = network(image, mask), torch.jit.script(network)(image, mask)
    assert [tuple(value.shape) for value in eager] == [(2, CLASSES, SIZE, SIZE), (2, 2, 3), (2, 2, 3)]
    assert network.unet.first[0].in_channels == 1 and network.crop_size == SIZE // CROP_DIVISORS[crop]
    for one, other in zip(eager, scripted):
        assert (one - other).abs().max() <= 1e-5


def test_probabilities_sum_to_one_and_are_background_outside():
    network = untrained_pipeline()
    image, mask = random_slices()
    with torch.inference_mode():
        probabilities, pose, crop = network(image, mask)
        cut = sampling_grid(invert(compose(pose, crop)), SIZE, SIZE)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, SIZE, SIZE))
    assert probabilities.min() >= -1e-6
    pixel = 2 / network.crop_size
    outside = (cut.abs() > 1 + pixel).any(dim=3)
    assert outside.any() and not outside.all()
    assert (probabilities[:, 0][outside] == 1).all()


def test_restore_puts_the_crop_back():
    network = untrained_pipeline("half")
    pose = similarity(torch.tensor([0.2]), torch.tensor([[1.1, 0.9]]), torch.tensor([[0.05, -0.08]]))
    crop = square_box(torch.tensor([[-0.4, -0.6]]), torch.tensor([[0.6, 0.4]]), CropSTN.smallest)
    field = gaussian_blob(x=140, y=120, sigma=8)
    cut = resample(field, compose(pose, crop), network.crop_size, network.crop_size)
    restored = network.restore(torch.cat([1 - cut, cut], dim=1), pose, crop, SIZE)
    torch.testing.assert_close(restored[:, 1:], field, atol=0.02, rtol=0)
    assert math.dist(centroid(restored[:, 1:]), centroid(field)) < 0.1


def test_gradients_reach_both_stns():
    network = untrained_pipeline(size=64, crop="full").train()
    image, mask = random_slices(2, 64)
    probabilities, _, _ = network(image, mask)
    (probabilities[:, 1] * gaussian_blob(40, 30, 8, 64)[:, 0]).sum().backward()
    for stn in (network.pose_stn, network.crop_stn):
        for name, parameter in stn.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_air_fills_the_corners():
    network = SegmentationPipeline(64, CLASSES, "full", 2, air=-2.0)
    small = similarity(torch.zeros(1), torch.full((1, 2), 2.0), torch.zeros(1, 2))
    cut = network.cut(torch.ones(1, 1, 64, 64), small, IDENTITY[None])
    assert cut[0, 0, 0, 0] == -2 and cut[0, 0, 32, 32] == 1


# U-Net


@pytest.mark.parametrize("size", [64, 128, 256])
def test_unet_structure(size):
    features = 2
    unet = UNet(size, CLASSES, features)
    sizes, widths = [], []

    def note(_module, _inputs, output):
        sizes.append(output.shape[-1])
        widths.append(output.shape[1])

    for part in (unet.first, *unet.encode):
        part.register_forward_hook(note)
    levels = unet(torch.zeros(2, 1, size, size))
    assert sizes[0] == size and sizes[-1] == BOTTLENECK_SIZE
    assert all(fine == 2 * coarse for fine, coarse in zip(sizes, sizes[1:]))
    assert widths == [features << level for level in range(len(widths))]
    supervised = [side for side in sizes if side >= SMALLEST_SKIP_SIZE]
    assert [tuple(level.shape) for level in levels] == [(2, CLASSES, side, side) for side in supervised]


def first(kind: type[Layer], block: nn.Module) -> Layer:
    return next(layer for layer in block.modules() if isinstance(layer, kind))


@pytest.mark.parametrize("size", [64, 128, 256])
def test_skips_reach_down_to_32_pixels_only(size):
    """A decoder level with a skip connection reads twice its own features."""
    unet = UNet(size, CLASSES, 2)
    convolutions = [first(nn.Conv2d, decode) for decode in reversed(unet.decode)]
    for level, convolution in enumerate(convolutions):
        share = convolution.in_channels // convolution.out_channels
        assert share == (2 if size >> level >= SMALLEST_SKIP_SIZE else 1)


def test_unet_features_halve_on_the_way_up():
    unet = UNet(128, CLASSES, 2)
    for up in unet.up:
        convolution = first(nn.ConvTranspose2d, up)
        assert convolution.in_channels == 2 * convolution.out_channels and convolution.stride == (2, 2)


@pytest.mark.parametrize("size", [32, 96, 100])
def test_unet_refuses_other_sizes(size):
    with pytest.raises(ValueError, match=f"power of two of at least 64 pixels, not {size}"):
        UNet(size, CLASSES)
