"""Segmentation of kidneys and renal tumors in CT of children."""

__version__ = "0.1.0"
NOTICE = "Research software, not a medical device: every result must be reviewed by a physician."
