"""The experiment suite of deep background subtraction, on PyTorch Lightning."""

__version__ = "0.1.0"
