"""Segmentation of kidneys and renal tumors in CT of children."""

__version__ = "0.1.0"
