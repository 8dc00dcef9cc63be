"""Algorithms that solve y = A x + n for x; priors and denoisers are passed in."""

from gensr.inverse.tikhonov import tikhonov, tikhonov_descent

__all__ = ["tikhonov", "tikhonov_descent"]
