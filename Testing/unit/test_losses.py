"""The paper's equations (1) to (3) against the same computed by hand on tiny arrays."""

import numpy as np
import pytest
import torch

from PediatricRenalSegLib.training.losses import crop_loss, pose_loss, segmentation_loss, soft_dice_loss


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
    crop_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), theta, torch.eye(2, 3)[None]).backward()
    assert torch.isfinite(theta.grad).all()


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
