"""From the name of a model to the pipeline of its kind."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from ..errors import InputError
from ..models.bundle import STN_UNET, ModelBundle
from ..models.catalogue import load_model
from .base import Pipeline

KINDS = {STN_UNET: "slicewise:SlicewisePipeline"}
"""Module of this folder and class, by ``ModelMetadata.kind``."""

PLUG_INS = "pediatric_renal_seg.pipelines"
"""Entry point group in which installed packages offer pipelines of further kinds."""

PipelineType = Callable[..., Pipeline]
"""Called with a bundle, its device, and what ``load_pipeline`` was given besides."""


def load_pipeline(model: str | None = None, device: str = "auto", batch_size: int | None = None) -> Pipeline:
    """Load a model once for many cases.

    model: id of a shipped model (``None``: the default) or path of a file. device: auto, cpu, cuda or mps.
    batch_size: slices or patches at once; ``None``: the method's own. Raises ``InputError`` for a model that is not
    there, is damaged, or whose kind nobody here knows.

    >>> pipeline = load_pipeline(device="cpu")
    >>> [structure.name for structure in pipeline.bundle.structures]
    ['kidney', 'tumor']
    """
    from ..devices import choose_device  # torch takes a second to import: callers of this module may not need it

    chosen = choose_device(device)
    bundle = load_model(model, chosen)
    return pipeline_type(bundle)(bundle, chosen, **({} if batch_size is None else {"batch_size": batch_size}))


def pipeline_type(bundle: ModelBundle) -> PipelineType:
    """The class that runs models of this kind. Raises ``InputError`` for an unknown one."""
    kind = bundle.metadata.kind
    if kind in KINDS:
        module, _, name = KINDS[kind].partition(":")
        return getattr(import_module(f".{module}", __package__), name)
    plug_ins = {plug_in.name: plug_in for plug_in in entry_points(group=PLUG_INS)}
    if kind not in plug_ins:
        raise InputError(
            f"The model {bundle.metadata.id} is of the kind {kind!r}, which this version does not know "
            f"({', '.join([*KINDS, *plug_ins])}): update the program or choose another model."
        )
    try:
        return plug_ins[kind].load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"The method {kind!r} cannot be loaded ({error}): install its package again.") from error
