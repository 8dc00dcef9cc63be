"""gensr: the library behind an executable course on generative models and super-resolution."""

__version__ = "0.1.0"
