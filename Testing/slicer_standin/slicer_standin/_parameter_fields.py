"""The typed fields of a parameter node: their annotations, and how a value lies in the node."""

import enum
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import slicer

from ._types import Node

Annotation = TypeVar("Annotation")


@dataclass
class Default:
    """Value of a field at first."""

    value: object


@dataclass
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum:
    minimum: float

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass
class Maximum:
    maximum: float

    def validate(self, value: float) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass
class Choice:
    choices: list

    def validate(self, value: object) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


@dataclass(frozen=True)
class Field:
    """One parameter: its type, checks and default."""

    name: str
    kind: type[Any]
    default: object
    annotations: tuple = ()

    @property
    def is_node(self) -> bool:
        return issubclass(self.kind, slicer.vtkMRMLNode)

    def annotation(self, kind: type[Annotation]) -> Annotation | None:
        return next((annotation for annotation in self.annotations if isinstance(annotation, kind)), None)

    def check(self, value: object) -> None:
        """Raises ``TypeError`` or ``ValueError``."""
        accepted: tuple[type, ...] = (int, float) if self.kind is float else (self.kind,)
        if value is None and not self.is_node:
            raise ValueError(f"{self.name}: value must not be None")
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"{self.name}: value must be of type {self.kind}, is {value!r}")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)

    def read(self, node: Node) -> Any:
        if not node.HasParameter(self.name):  # never written, or the scene was closed
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def write(self, node: Node, value: Any) -> None:
        self.check(value)
        if self.is_node:
            # the empty text says that the field was written: None is a value too
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))


DEFAULTS: dict[type, object] = {str: "", int: 0, float: 0.0, bool: False, Path: Path()}


def fields_of(cls: type) -> dict[str, Field]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: _field(cls, name, hint) for name, hint in hints.items()}


def _field(cls: type, name: str, hint: Any) -> Field:
    is_annotated = typing.get_origin(hint) is typing.Annotated
    kind, *annotations = typing.get_args(hint) if is_annotated else (hint,)
    if not (isinstance(kind, type) and (kind in DEFAULTS or issubclass(kind, (slicer.vtkMRMLNode, enum.Enum)))):
        raise TypeError(f"{cls.__name__}.{name}: the stand-in has no parameters of type {kind}")
    given = next((annotation.value for annotation in annotations if isinstance(annotation, Default)), None)
    if given is None:
        given = next(iter(kind)) if issubclass(kind, enum.Enum) else DEFAULTS.get(kind)
    checks = tuple(annotation for annotation in annotations if not isinstance(annotation, Default))
    return Field(name, kind, getattr(cls, name, given), checks)
