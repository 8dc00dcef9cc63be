"""Linear measurement operators: `A(x)`, `A.adjoint(y)`, `A.pinv(y)`, `A.project(x, y)`."""

from gensr.operators.average import Average
from gensr.operators.base import LinearOperator, dense, least_squares
from gensr.operators.blur import Blur
from gensr.operators.compose import Compose
from gensr.operators.downsample import Downsample
from gensr.operators.fit import fit_pseudo_inverse
from gensr.operators.mask import Mask
from gensr.operators.subpixel import SubPixel, fit_sub_pixel

__all__ = [
    "Average", "Blur", "Compose", "Downsample", "LinearOperator", "Mask", "SubPixel", "dense", "fit_pseudo_inverse", "fit_sub_pixel", "least_squares",
]
