"""The readable card of a model: what it is, what it was trained on, how good it is and where it was never tried."""

import json

from ... import NOTICE
from ...models.bundle import ModelMetadata
from .config import PATHS, TrainingConfig
from .log import Epoch


def model_card(metadata: ModelMetadata, config: TrainingConfig, history: list[Epoch], sha256: str) -> str:
    """Markdown. ``history`` may be empty."""
    sections = {
        "Model": _table(
            {
                "version": metadata.version,
                "method": f"{config.method}, U-Net input: {config.crop}, {config.features} features",
                "slices": "{size} × {size} pixels of {pixel_mm:g} mm".format(**metadata.input),
                "labels": ", ".join(f"{row.label} {row.name}" for row in metadata.structures),
                "PyTorch": metadata.torch,
                "SHA-256": f"`{sha256}`",
            }
        ),
        "License": f"{metadata.license}. {metadata.license_notice}",
        "Training data": metadata.training_domain,
        "Limits": f"{metadata.limits}\n\n{NOTICE}",
        "Scores": _scores(metadata, config, history),
        "Training": _training(config, history),
    }
    return "\n\n".join([f"# {metadata.id}", *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _table(rows: dict[str, str], head: tuple[str, str] = ("", "")) -> str:
    lines = [head, ("---", "---"), *rows.items()]
    return "\n".join(f"| {name} | {value} |" for name, value in lines)


def _scores(metadata: ModelMetadata, config: TrainingConfig, history: list[Epoch]) -> str:
    rows = {
        f"{data}: {name}": f"{value:g}" for data, scores in metadata.scores.items() for name, value in scores.items()
    }
    trained = [epoch for epoch in history if epoch.stage == "unet"]
    if trained:
        chose = config.keep == "best"
        kept = max(trained, key=lambda epoch: epoch.validation) if chose else trained[-1]
        data = "validation slices" + ", which chose the epoch" * chose
        rows |= {f"{data}: {name} Dice": f"{dice:.3f}" for name, dice in kept.dice.items()}
    return _table(rows, ("data", "score")) if rows else "None are given."


def _training(config: TrainingConfig, history: list[Epoch]) -> str:
    values = {name: value for name, value in config.to_dict().items() if name not in PATHS}
    if config.start:
        values["start"] = config.start.name
    hours = sum(epoch.seconds for epoch in history) / 3600
    length = f"{len(history)} epochs in {hours:.1f} hours with" if history else "With"
    return f"{length} this configuration:\n\n```json\n{json.dumps(values, indent=2)}\n```"
