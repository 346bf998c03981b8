"""The paper's equations (1) to (3) against the same computed by hand on tiny arrays."""

import math

import numpy as np
import pytest
import torch
from tiny_models import untrained_pipeline

from PediatricRenalSegLib.training.learn.losses import crop_loss, pose_loss, segmentation_loss, soft_dice_loss
from PediatricRenalSegLib.training.learn.stages import restore_logits, restore_probabilities


def random_array(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def test_pose_loss_is_equation_1():
    found, reference = random_array(2, 1, 3, 4), random_array(1, 1, 3, 4, seed=1)
    dice = [200 * (h * reference[0]).sum() / ((h**2).sum() + (reference[0] ** 2).sum()) for h in found]
    loss = pose_loss(torch.tensor(found), torch.tensor(reference))
    assert loss.item() == pytest.approx(100 - np.mean(dice), rel=1e-5)


def test_pose_loss_by_hand():
    """Half of a two-pixel mask found: Dice 2 · 1 / (1 + 2) = 2/3."""
    found, reference = torch.tensor([[[[1.0, 0.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert pose_loss(found, reference).item() == pytest.approx(100 / 3, rel=1e-5)
    assert pose_loss(reference, reference).item() == pytest.approx(0, abs=1e-3)


def test_crop_loss_is_equation_2():
    """Mean absolute difference of the crops, root of the mean squared norm of the matrices' difference."""
    crop, target = random_array(2, 1, 3, 3), random_array(2, 1, 3, 3, seed=1)
    theta, target_theta = random_array(2, 2, 3, seed=2), random_array(2, 2, 3, seed=3)
    squares = [((a - b) ** 2).sum() for a, b in zip(theta, target_theta)]
    expected = np.abs(crop - target).mean() + np.sqrt(np.mean(squares))
    loss = crop_loss(*map(torch.tensor, (crop, target, theta, target_theta)))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_crop_loss_has_a_finite_gradient_at_its_minimum():
    theta = torch.eye(2, 3)[None].requires_grad_()
    loss = crop_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), theta, torch.eye(2, 3)[None])
    (gradient,) = torch.autograd.grad(loss, theta)
    assert torch.isfinite(gradient).all()


def test_soft_dice_by_hand():
    """One class, p = 1 and 0.5 on the two labeled pixels: (2 · 1.5 + 1) / (1.5 + 2 + 1)."""
    foreground = torch.tensor([[[1.0, 0.5, 0.0, 0.0]]])
    probabilities = torch.stack([1 - foreground, foreground], dim=1)
    target = torch.tensor([[[1, 1, 0, 0]]])
    assert soft_dice_loss(probabilities, target).item() == pytest.approx(1 - 4 / 4.5, rel=1e-6)


def test_segmentation_loss_is_equation_3():
    """Two levels: the coarse one counts half, the sum is divided by 1.5."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 4))
    levels = [rng.random((2, 3, 4, 4)), rng.random((2, 3, 2, 2))]
    levels = [level / level.sum(axis=1, keepdims=True) for level in levels]
    coarse = labels[:, 1::2, 1::2]
    expected = (level_loss(levels[0], labels) + level_loss(levels[1], coarse) / 2) / 1.5
    loss = segmentation_loss([torch.tensor(level) for level in levels], torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def level_loss(probabilities, labels):
    """Cross entropy plus soft Dice of one level, in numpy."""
    chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)
    dice = []
    for value in range(1, probabilities.shape[1]):
        found, true = probabilities[:, value], labels == value
        dice.append((2 * (found * true).sum() + 1) / (found.sum() + true.sum() + 1))
    return -np.log(chosen).mean() + 1 - np.mean(dice)


def test_perfect_segmentation_costs_nothing():
    labels = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    perfect = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert segmentation_loss([perfect], labels).item() == pytest.approx(0, abs=1e-5)
    assert segmentation_loss([perfect.roll(1, dims=1)], labels).item() > 5


# What goes back through the inverse transforms


SIZE = 128
RESTORED = (restore_logits, restore_probabilities)


@pytest.fixture
def network():
    return untrained_pipeline("half", size=SIZE)


def turned_box():
    """Matrices of a slice: a turn, and a box that holds part of it."""
    angle, side = 0.3, 0.7
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.1], [math.sin(angle), math.cos(angle), 0.0]])
    return turn[None], torch.tensor([[[side, 0.0, 0.05], [0.0, side, -0.05]]])


@pytest.mark.parametrize("restore", RESTORED)
def test_what_is_restored_is_a_distribution_and_background_outside(network, restore):
    logits = torch.zeros(1, 3, SIZE // 2, SIZE // 2)
    logits[:, 2] = 20
    restored = restore(network, logits, *turned_box(), SIZE)
    torch.testing.assert_close(restored.sum(dim=1), torch.ones(1, SIZE, SIZE))
    assert restored[0, 2, SIZE // 2, SIZE // 2] > 0.999
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert restored[0, 0][corner] > 0.999


def test_both_ways_agree_where_nothing_is_interpolated(network):
    logits = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    stay = torch.eye(2, 3).expand(2, 2, 3)
    found, expected = (restore(network, logits, stay, stay, SIZE) for restore in RESTORED)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_checkerboard_can_be_unlearned_if_logits_are_restored(network):
    """Of probabilities 0 and 1 it has no gradient, and interpolation makes it one half everywhere."""
    parity = torch.arange(SIZE // 2) % 2
    board = 40.0 * (parity[:, None] ^ parity[None]) - 20
    gradients = []
    for restore in RESTORED:
        logits = torch.stack([torch.zeros_like(board), board, torch.full_like(board, -20)])[None].requires_grad_()
        pose, crop = turned_box()
        probabilities = restore(network, logits, pose, crop, SIZE)
        loss = segmentation_loss([probabilities], torch.ones(1, SIZE, SIZE, dtype=torch.int64))
        (gradient,) = torch.autograd.grad(loss, logits)
        gradients.append(gradient.abs().max().item())
    assert gradients[0] > 1e-5 > 1e-8 > gradients[1]
