"""Draws the extension's icon: two kidneys seen from the front, one with a tumor.

    python Resources/draw_icon.py

writes ``Resources/PediatricRenalSeg.png`` and the module's copy of it. Colors are those of the segments.
"""

import math
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    ROOT / "Resources" / "PediatricRenalSeg.png",
    ROOT / "PediatricRenalSeg" / "Resources" / "Icons" / "PediatricRenalSeg.png",
)
SIZE = 128
SCALE = 8
"""Everything is drawn this much larger and scaled down, which smooths the edges."""

KIDNEY, KIDNEY_LIGHT, KIDNEY_DARK = (185, 102, 83), (226, 150, 128), (118, 52, 42)
TUMOR, TUMOR_LIGHT, TUMOR_DARK = (112, 206, 116), (184, 246, 180), (38, 120, 62)
URETER = (226, 178, 108)

Color = tuple[int, int, int]
Disc = tuple[float, float, float]
"""Center x, y and radius in pixels of the finished icon."""


def main() -> None:
    """Write the icon wherever it is wanted."""
    icon = draw()
    for target in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        icon.save(target, optimize=True)


def draw() -> Image.Image:
    """The icon, RGBA, 128 × 128, on a transparent ground."""
    right, left = kidney(31, 56, 1), kidney(97, 56, -1)
    tumor: list[Disc] = [(95, 95, 27), (91, 97, 26), (100, 93, 26)]
    picture = Image.new("RGBA", (SIZE * SCALE,) * 2)
    for x, side in ((45, 1), (83, -1)):
        paint(picture, mask_of(ureter(x, side)), URETER, URETER, KIDNEY_DARK, depth=2)
    for organ in (right, left):
        paint(picture, mask_of(organ), KIDNEY, KIDNEY_LIGHT, KIDNEY_DARK, depth=9)
    erase(picture, mask_of([(x, y, r + 3) for x, y, r in tumor]))
    paint(picture, mask_of(tumor), TUMOR, TUMOR_LIGHT, TUMOR_DARK, depth=10)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def kidney(x: float, y: float, side: int) -> list[Disc]:
    """A bean around ``(x, y)``: discs along an arc whose hollow, the hilum, faces ``side`` (1: right in the picture).

    The upper pole leans toward the spine, as kidneys do.
    """
    discs = []
    for step in range(-100, 101):
        angle = math.radians(0.66 * step)
        along, across = 34 * math.sin(angle), 29 * (1 - math.cos(angle)) - 8
        lean = math.radians(7)
        across, along = across - along * math.sin(lean), along * math.cos(lean)
        radius = 19.5 - 3 * (step / 100) ** 2
        discs.append((x + side * across, y + along, radius))
    return discs


def ureter(x: float, side: int) -> list[Disc]:
    """From the hilum down toward the bladder."""
    ways = [step / 120 for step in range(121)]
    return [(x + side * (1 + 8 * math.sin(1.5 * way)), 54 + 70 * way, 3.4 - 0.6 * way) for way in ways]


def mask_of(discs: list[Disc]) -> Image.Image:
    """White where a disc is."""
    mask = Image.new("L", (SIZE * SCALE,) * 2)
    draw = ImageDraw.Draw(mask)
    for x, y, radius in discs:
        draw.ellipse([SCALE * value for value in (x - radius, y - radius, x + radius, y + radius)], fill=255)
    return mask


def paint(picture: Image.Image, mask: Image.Image, base: Color, light: Color, dark: Color, depth: float) -> None:
    """Put a rounded body on the picture: dark at its rim, light toward the upper left."""
    rim = mask.filter(ImageFilter.GaussianBlur(depth * SCALE * 0.5))
    rim = rim.point(lambda value: min(255, max(0, round((value - 118) * 2.4))))
    shift = round(depth * SCALE * 0.4)
    soft = mask.filter(ImageFilter.GaussianBlur(depth * SCALE * 0.5))
    lit = ImageChops.subtract(soft, moved(soft, 2 * shift)).point(lambda value: min(255, 3 * value // 2))
    body = Image.composite(Image.new("RGB", mask.size, base), Image.new("RGB", mask.size, dark), rim)
    body = Image.composite(Image.new("RGB", mask.size, light), body, ImageChops.multiply(lit, rim))
    picture.paste(body, (0, 0), mask)


def moved(mask: Image.Image, shift: int) -> Image.Image:
    """The mask, moved right and down, black where nothing comes from."""
    result = Image.new("L", mask.size)
    result.paste(mask, (shift, shift))
    return result


def erase(picture: Image.Image, mask: Image.Image) -> None:
    """Make the picture transparent: the gap that keeps two bodies apart at 16 pixels."""
    picture.putalpha(ImageChops.subtract(picture.getchannel("A"), mask))


if __name__ == "__main__":
    main()
