"""The one home of the product's version."""

__version__ = "0.1.0"
