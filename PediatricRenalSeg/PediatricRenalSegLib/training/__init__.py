"""Training: patients become a store (``data``), of real and made ones (``composites``), from which networks ``learn``.

``bundled_store`` is the program that fills the store of the bundled model.
"""
