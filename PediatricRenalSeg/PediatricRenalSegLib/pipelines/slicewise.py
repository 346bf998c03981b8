"""The paper's method: every axial slice alone through pose STN, crop STN and U-Net (La Barbera et al., ISBI 2021).

The network is ``networks.pipeline.SegmentationPipeline``. Slices are seen one by one, so what it says is averaged over
neighboring slices, once, for the labels and for the doubt.
"""

import time
from contextlib import nullcontext
from math import ceil

import numpy as np
import torch
from scipy import ndimage

from ..errors import InputError
from ..models.bundle import ModelBundle
from ..progress import NETWORK, Progress, ProgressCallback, ignore
from ..threads import side_by_side
from ..volume import CTVolume
from .base import Prediction
from .canvas import Canvas, CanvasGrid, SliceStack, preprocess, resample_back
from .doubt import Doubt

BATCH_SIZE = 8
"""Slices at once: more gain nothing on a processor (Testing/benchmarks/results/batch_size.md)."""

CHUNK = 128
"""Slices that are averaged and brought back to the CT's grid together; a matter of memory alone."""

NEIGHBORS = 0.014
"""Standard deviation, along the patient, of the mean over neighboring slices, in diameters of the body: what is right
for an adult wipes the poles of the kidney out of an infant. With 2.8 instead of 4 mm two adults (diameters 380 and
300 mm) had 6 liters and 12 ml of false tumor instead of none; with 4 instead of 1.4 mm the kidney Dice of two infants
(125 mm) fell from 0.941 to 0.920 and from 0.845 to 0.832."""

TRUNCATE = 4.0
"""Standard deviations at which that mean ends: SciPy's own default."""

UNSURE = 0.1
"""Pixels at least this unsure count; the faint rest of a whole slice says nothing about its outlines."""

FAINT = UNSURE / 2
"""Where all structures together never have more than this probability there is neither a structure nor doubt."""


class SlicewisePipeline:
    """``pipelines.base.Pipeline`` for models of the kind "stn-unet".

    The input contract of its models: ``size`` and ``pixel_mm`` of the square slice, and ``crop``, the side of the
    U-Net's input as a part of it. The network is ``(B, 1, size, size) image and body mask -> (B, C, size, size)
    probabilities, (B, 2, 3) pose, (B, 2, 3) crop``.
    """

    def __init__(self, bundle: ModelBundle, device: torch.device, batch_size: int = BATCH_SIZE) -> None:
        self.bundle, self.device, self.batch_size = bundle, device, batch_size
        self.parameters = {"device": str(device), "batch_size": batch_size}
        self.canvas = _canvas_of(bundle)

    def predict(self, ct: CTVolume, body: np.ndarray, progress: ProgressCallback = ignore) -> Prediction:
        """As ``Pipeline.predict``. When memory runs out the batch is halved and the run goes on."""
        stack = preprocess(ct, body, self.canvas, self.bundle.metadata.normalization)
        probabilities = run_network(self.bundle.network, stack, self.device, self.batch_size, progress)
        metadata = self.bundle.metadata
        if probabilities.shape[1] != len(metadata.channels):
            raise InputError(
                f"The model {metadata.id} gives {probabilities.shape[1]} channels, but its metadata name "
                f"{len(metadata.channels)} ({', '.join(metadata.channels)}): export it again."
            )
        channels, doubt = to_axial(probabilities, stack.grid, neighbor_sigma(body, stack.grid))
        return Prediction(_labels_of(channels, metadata.channel_labels), doubt)


def _canvas_of(bundle: ModelBundle) -> Canvas:
    """Raises ``InputError`` when the input contract does not say what the network sees."""
    size, pixel_mm = (bundle.metadata.input.get(name) for name in ("size", "pixel_mm"))
    if type(size) is not int or size < 1 or not isinstance(pixel_mm, (int, float)) or not 0 < pixel_mm < float("inf"):
        raise InputError(
            f"The model {bundle.metadata.id} wants slices of {size!r} pixels of {pixel_mm!r} mm, which are none: "
            "export it again."
        )
    return Canvas(size, pixel_mm)


def _labels_of(channels: np.ndarray, labels: tuple[int, ...]) -> np.ndarray:
    """The label of every channel number; the array itself where they are the same."""
    return channels if labels == tuple(range(len(labels))) else np.array(labels, np.uint8)[channels]


def run_network(
    network: torch.nn.Module,
    stack: SliceStack,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
    progress: ProgressCallback = ignore,
) -> np.ndarray:
    """Probabilities ``(N, C, size, size)`` float16 of every slice, in the frame of the canvas.

    When memory runs out the batch is halved and the run goes on. Raises ``InputError`` when not even one slice fits
    into memory, and what ``progress`` raises.
    """
    images = torch.from_numpy(stack.images)[:, None]
    masks = torch.from_numpy(stack.masks)[:, None]
    batches: list[np.ndarray] = []
    started, done, total = time.monotonic(), 0, len(images)
    progress(Progress(NETWORK, 0, total))
    while done < total:
        chosen = slice(done, done + batch_size)
        try:
            batches.append(_run_batch(network, images[chosen].to(device), masks[chosen].to(device).float()))
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise InputError(
                    f"Not even one slice fits into the memory of {device}: choose another device."
                ) from None
            batch_size = (batch_size + 1) // 2
            if device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        done = min(done + batch_size, total)
        progress(Progress(NETWORK, done, total, (time.monotonic() - started) / done * (total - done)))
    return np.concatenate(batches)


def _run_batch(network: torch.nn.Module, images: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    device = images.device.type
    precision = torch.autocast(device, torch.bfloat16) if _gains_from_bfloat16(device) else nullcontext()
    with torch.inference_mode(), precision:
        probabilities, _, _ = network(images, masks)
    return probabilities.half().cpu().numpy()


def _gains_from_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not every build for processors has oneDNN, and only oneDNN knows whether the arithmetic is there.
    return device == "cpu" and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an exception of its own; the CPU allocator and MPS only a text."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory")
    )


# Neighboring slices


def neighbor_sigma(body: np.ndarray, grid: CanvasGrid) -> float:
    """``NEIGHBORS`` in slices. The body's diameter is that of a circle of its mean area."""
    spacing = grid.axial_spacing
    areas = body.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    diameter = 2 * np.sqrt(areas[areas > 0].mean() / np.pi)
    return float(NEIGHBORS * diameter / spacing[0])


def with_neighbors(probabilities: np.ndarray, sigma: float) -> np.ndarray:
    """Mean over neighboring slices of ``(N, C, ...)``, float32; ``sigma`` in slices."""
    values = probabilities.astype(np.float32, copy=False)
    means = np.empty_like(values)

    def average(channel: int) -> None:
        source, target = values[:, channel], means[:, channel]
        ndimage.gaussian_filter1d(source, sigma, axis=0, output=target, mode="nearest", truncate=TRUNCATE)

    side_by_side(average, range(values.shape[1]))
    return means


# Back to the grid of the CT


def to_axial(probabilities: np.ndarray, grid: CanvasGrid, sigma: float) -> tuple[np.ndarray, Doubt]:
    """From probabilities on the canvas to channels and doubt on the axial array of the CT.

    probabilities: ``(N, C, size, size)``, one slice a plane of the array, channel 0 background. The network sees each
    slice alone, so neighbors are averaged first (``sigma`` in slices). Averages are then interpolated to the array's
    pixels and compared, so that outlines are smooth where the array is finer than the canvas. Returns the channel of
    every voxel ``(z, y, x)`` uint8, and the sum of two doubts. How unsure: the probability that the chosen channel is
    wrong, where it is at least ``UNSURE``. Whether neighbors disagree: 1 where the slice alone would have another
    channel than it has together with its neighbors.

    On six generated children the doubt summed over a slice had a rank correlation of 0.60 on average with the area that
    was wrong in it (0.33 to 0.87).
    """
    rows, columns = _where_structures_are(probabilities, grid)
    channels = np.zeros(grid.axial_shape, np.uint8)
    doubts = np.zeros((len(probabilities), *probabilities[0, 0, rows, columns].shape), np.float16)
    for first in range(0, len(probabilities), CHUNK):
        alone, together = _averaged(probabilities[:, :, rows, columns], sigma, first)
        doubts[first : first + len(alone)] = _doubt(alone, together)
        for index in np.flatnonzero((together[:, 1:] > together[:, :1]).any(axis=(1, 2, 3))):
            # Elsewhere background wins in every pixel, and so it does after linear interpolation.
            _paint_channels(channels[first + index], together[index, 1:], rows, columns, grid)
    return channels, _doubt_on_axial(doubts, rows, columns, grid)


def _where_structures_are(probabilities: np.ndarray, grid: CanvasGrid) -> tuple[slice, slice]:
    """Rows and columns of the canvas that can tell anything but background, and all that is interpolated with them.

    Elsewhere no structure has more than the probability ``FAINT`` in any slice, so neither in a mean of slices and
    pixels, and all structures together have less than background.
    """
    seen = (probabilities[:, 1:].max(axis=0) > FAINT / (probabilities.shape[1] - 1)).any(axis=0)
    reach = [2 * ceil(mm / grid.pixel_mm) for mm in grid.axial_spacing[1:]]  # two triangles of resampling_matrix
    return _extent(np.any(seen, axis=1), reach[0]), _extent(np.any(seen, axis=0), reach[1])


def _extent(found: np.ndarray, margin: int = 0) -> slice:
    """From the first to the last true value, and as far as there is a ``margin`` around; empty if none is."""
    places = np.flatnonzero(found)
    if not len(places):
        return slice(0, 0)
    return slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, len(found)))


def _averaged(probabilities: np.ndarray, sigma: float, first: int) -> tuple[np.ndarray, np.ndarray]:
    """``CHUNK`` slices alone and averaged with their neighbors, float32."""
    reach = int(TRUNCATE * sigma + 0.5)
    start, stop = max(first - reach, 0), min(first + CHUNK + reach, len(probabilities))
    values = probabilities[start:stop].astype(np.float32)
    chosen = slice(first - start, min(first + CHUNK, len(probabilities)) - start)
    return values[chosen], with_neighbors(values, sigma)[chosen]


def _doubt(alone: np.ndarray, together: np.ndarray) -> np.ndarray:
    """``(n, h, w)`` from probabilities ``(n, C, h, w)``; see ``to_axial``."""
    unsure = 1 - together.max(axis=1)
    unsure[unsure < UNSURE] = 0
    return unsure + (alone.argmax(axis=1) != together.argmax(axis=1))


def _paint_channels(target: np.ndarray, foreground: np.ndarray, rows: slice, columns: slice, grid: CanvasGrid) -> None:
    """Write the likeliest channel into one slice ``(y, x)``; foreground: ``(C - 1, h, w)`` of a part of the canvas."""
    canvas = np.zeros((len(foreground), grid.size, grid.size), np.float32)
    canvas[:, rows, columns] = foreground
    y, x = (_reached(weights, part) for weights, part in zip(grid.weights_back, (rows, columns), strict=True))
    found = resample_back(canvas, grid, outside=0)[:, y, x]
    background = 1 - found.sum(axis=0, keepdims=True)
    target[y, x] = np.concatenate([background, found]).argmax(axis=0)


def _reached(weights: np.ndarray, part: slice) -> slice:
    """Which targets of ``resampling_matrix`` a part of its sources reaches."""
    return _extent(np.any(weights[:, part], axis=1))


def _doubt_on_axial(doubts: np.ndarray, rows: slice, columns: slice, grid: CanvasGrid) -> Doubt:
    """Bring doubt ``(N, h, w)`` from a part of the canvas to that part of the CT in which there is any."""
    seen = doubts > 0
    z, r, c = (_extent(np.any(seen, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    if z.start == z.stop:
        return Doubt.none()
    parts = [slice(whole.start + p.start, whole.start + p.stop) for whole, p in ((rows, r), (columns, c))]
    y, x = (_reached(weights, part) for weights, part in zip(grid.weights_back, parts, strict=True))
    to_y, to_x = (w[t, p] for w, t, p in zip(grid.weights_back, (y, x), parts, strict=True))
    values = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), np.float16)
    for index, canvas in enumerate(doubts[z, r, c]):
        values[index] = to_y @ canvas.astype(np.float32) @ to_x.T
    return Doubt(values, (z, y, x))
