"""Random size, pose and intensity of training slices.

The paper undoes differences of size and pose instead of augmenting them. They must still *occur* while the
STNs learn to undo them, and 80 real children are not at hand: a store holds few real scans, all adults. So
slices are shrunk, turned and moved before the network sees them, within the range of real children.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.normalization import Normalization
from ...networks.affine import invert, sampling_grid
from ...networks.pose_stn import similarity
from ...volume import AIR_HU
from .batch import Batch, StoredSlices, normalized, transform_points


@dataclass(frozen=True)
class Augmentation:
    """Ranges; a uniform draw unless it says otherwise."""

    smallest: float = 0.5
    largest: float = 1.15
    """Size factors, drawn evenly on a log scale."""
    stretch: float = 0.06
    """Standard deviation of the log ratio of width and height."""
    degrees: float = 40.0
    """Largest turn. Drawn around 0 with a standard deviation of 10 degrees, turns left a pose STN that undid a third of
    30 degrees; drawn evenly, one that undid 23 to 27 of them."""
    shift: float = 0.1
    """In half canvases."""
    mirror: float = 0.5
    """Probability: kidney and tumor are labeled alike on both sides."""
    noise_hu: float = 25.0
    """Largest standard deviation of added noise."""
    gain: float = 0.05
    offset_hu: float = 8.0
    """Standard deviations of a linear change of the intensities."""
    blur: float = 0.3
    """Probability of a slight blur."""

    wobble: float = 0.4
    """Size factors within e^±0.4 of the U-Net's input, and turns and shifts to match: the STNs bring the *body* to
    one size, but a kidney is small in a wide body and large in a narrow one."""
    thinnest: float = -0.15
    widest: float = 0.45
    """Girth, see ``girths``."""
    distractor: float = 0.4
    """Probability of contrast medium in the gut, and of fluid in the fat: the first is as bright as a kidney, and
    few scans of a store show either."""

    def __call__(self, slices: StoredSlices, normalization: Normalization, seed: int) -> Batch:
        """Slices drawn anew; the same seed gives the same."""
        count, generator = len(slices.hu), torch.Generator().manual_seed(seed)
        matrix = self.matrix(count, generator)
        girth = Girth.of(slices.mask, self.girths(count, generator))
        hu, mask, labels = move(slices.hu, slices.mask, slices.labels, matrix, girth)
        hu = self.distractors(hu, labels, generator)
        hu = self.intensities(hu, generator)
        return Batch(
            image=normalized(hu, mask, normalization),
            mask=mask,
            labels=labels,
            corners=transform_points(invert(matrix), girth.target(slices.corners)),
            wobble=self.wobbles(count, generator),
        )

    def matrix(self, count: int, generator: torch.Generator) -> Tensor:
        """``(count, 2, 3)`` random similarity matrices, output to input coordinates."""
        uniform = torch.rand(count, 5, generator=generator)
        normal = torch.randn(count, generator=generator)
        low, high = math.log(self.smallest), math.log(self.largest)
        zoom = torch.exp(-(low + (high - low) * uniform[:, 0]))
        stretch = torch.exp(self.stretch * normal / 2)
        flip = 1 - 2 * (uniform[:, 1] < self.mirror).float()
        angle = math.radians(self.degrees) * (2 * uniform[:, 4] - 1)
        scale = torch.stack([flip * zoom * stretch, zoom / stretch], dim=1)
        return similarity(angle, scale, self.shift * (2 * uniform[:, 2:4] - 1))

    def wobbles(self, count: int, generator: torch.Generator) -> Tensor:
        """``(count, 2, 3)`` small random similarity matrices for the U-Net's input."""
        uniform = 2 * torch.rand(count, 4, generator=generator) - 1
        zoom = torch.exp(self.wobble * uniform[:, :1])
        return similarity(self.wobble / 2 * uniform[:, 1], zoom.expand(-1, 2), self.wobble / 3 * uniform[:, 2:])

    def girths(self, count: int, generator: torch.Generator) -> Tensor:
        """``(count,)`` draws of girth, none for half of the slices.

        It is how much a body gains in width around organs that keep their size, by fat, ascites or a mass. Positive is
        wider; see ``Girth``.
        """
        uniform = torch.rand(count, 2, generator=generator)
        girth = self.thinnest + (self.widest - self.thinnest) * uniform[:, 0]
        return torch.where(uniform[:, 1] < 0.5, girth, torch.zeros(()))

    def intensities(self, hu: Tensor, generator: torch.Generator) -> Tensor:
        """Noise, blur, gain and offset on ``(B, 1, H, W)`` Hounsfield units."""
        count = len(hu)
        uniform = torch.rand(count, 2, 1, 1, 1, generator=generator)
        normal = torch.randn(count, 2, 1, 1, 1, generator=generator)
        blurred = F.avg_pool2d(F.pad(hu, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        hu = torch.where(uniform[:, 0] < self.blur, (hu + blurred) / 2, hu)
        hu = hu + self.noise_hu * uniform[:, 1] ** 2 * torch.randn(hu.shape, generator=generator)
        return hu * (1 + self.gain * normal[:, 0]) + self.offset_hu * normal[:, 1]

    def distractors(self, hu: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Contrast medium in soft tissue and fluid in fat, both outside the labeled structures.

        hu ``(B, 1, H, W)``, labels ``(B, H, W)``.
        """
        elsewhere = labels[:, None] == 0
        contrast = (80.0, 400.0)
        hu = self._paint(hu, elsewhere & (hu > -20) & (hu < 130), 40.0, contrast, generator)
        fluid = (0.0, 30.0)
        return self._paint(hu, elsewhere & (hu > -150) & (hu < -30), -90.0, fluid, generator)

    def _paint(
        self, hu: Tensor, where: Tensor, from_hu: float, to_hu: tuple[float, float], generator: torch.Generator
    ) -> Tensor:
        """Shift smooth random parts of ``where`` from the typical value ``from_hu`` into the range ``to_hu``."""
        count, cells = len(hu), int(torch.randint(10, 30, (), generator=generator))
        field = torch.randn(count, 1, cells, cells, generator=generator)
        field = F.interpolate(field, hu.shape[-2:], mode="bicubic", align_corners=False)
        uniform = torch.rand(count, 2, 1, 1, 1, generator=generator)
        shift = to_hu[0] + (to_hu[1] - to_hu[0]) * uniform[:, 0] - from_hu
        return torch.where(where & (field > 0.8) & (uniform[:, 1] < self.distractor), hu + shift, hu)


@dataclass(frozen=True)
class Girth:
    """A warp that makes the middle of each body smaller and its wall thicker, the outline staying as it is.

    A point at the share r of the way from the center of the body to its outline comes from
    r * (1 + girth * (1 - r^2)), which for girths in (-1, 0.5) nowhere folds.
    """

    girth: Tensor
    """``(B,)``."""
    center: Tensor
    """``(B, 2)``: (x, y) of the middle of the body's bounding box."""
    half: Tensor
    """``(B, 2)``: half of that box's width and height."""

    @classmethod
    def of(cls, masks: Tensor, girth: Tensor) -> "Girth":
        """For bodies given as masks ``(B, 1, H, W)``."""
        ranges = [_range(masks[:, 0].amax(dim=dim) > 0) for dim in (1, 2)]
        low, high = (torch.stack(edges, dim=1) for edges in zip(*ranges))
        return cls(girth, (low + high) / 2, (high - low) / 2)

    def source(self, points: Tensor) -> Tensor:
        """Where what is at ``points`` ``(B, ..., 2)`` comes from."""
        shape = (-1, *[1] * (points.dim() - 2), 2)
        center = self.center.view(shape)
        return center + (points - center) * self._factor(points, shape)

    def target(self, points: Tensor) -> Tensor:
        """Where what was at ``points`` ``(B, ..., 2)`` goes: the inverse of ``source``, by iteration."""
        shape = (-1, *[1] * (points.dim() - 2), 2)
        center, found = self.center.view(shape), points
        for _ in range(8):
            found = center + (points - center) / self._factor(found, shape)
        return found

    def _factor(self, points: Tensor, shape: tuple[int, ...]) -> Tensor:
        inside = ((points - self.center.view(shape)) / self.half.view(shape)).square().sum(dim=-1, keepdim=True)
        return 1 + self.girth.view(*shape[:-1], 1) * (1 - inside).clamp_min(0)


def _range(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last edge in [-1, 1] of the true values of ``(B, N)``; the whole range where there are none."""
    count = occupied.shape[1]
    first = occupied.int().argmax(dim=1)
    last = count - occupied.flip(1).int().argmax(dim=1)
    return 2 * first / count - 1, 2 * last / count - 1


def move(images: Tensor, masks: Tensor, labels: Tensor, matrix: Tensor, girth: Girth) -> tuple[Tensor, Tensor, Tensor]:
    """Resample slices with ``(B, 2, 3)`` matrices, the bodies made wider or thinner.

    images ``(B, 1, H, W)`` HU, masks ``(B, 1, H, W)``, labels ``(B, H, W)``. Masks and labels take the nearest pixel.
    """
    size = images.shape[-1]
    grid = girth.source(sampling_grid(matrix, size, size))
    moved = F.grid_sample(images - AIR_HU, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + AIR_HU
    discrete = torch.cat([masks.float(), labels[:, None].float()], dim=1)
    discrete = F.grid_sample(discrete, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, discrete[:, :1], discrete[:, 1].long()
