"""Missing pixels as a linear operator: inpainting."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from gensr.operators.base import LinearOperator, check_images


class Mask(LinearOperator):
    """Keep the pixels where the mask is 1 and set the others to 0. A = Aᵀ = A⁺ = A², an orthogonal projection.

    Args:
        mask: 0/1 or bool, (h, w), (c, h, w) or (b, c, h, w); the missing axes are shared.

    Raises:
        ValueError: other values than 0 and 1, other than 2 to 4 axes, or an image the mask does not fit.
    """

    mask: Tensor

    def __init__(self, mask: Shaped[Tensor, "*shape"]):
        super().__init__()
        if not isinstance(mask, Tensor):
            raise TypeError(f"mask: expected a tensor, got {type(mask).__name__}")
        if not 2 <= mask.dim() <= 4:
            raise ValueError(f"mask: expected (h, w), (c, h, w) or (b, c, h, w), got shape {tuple(mask.shape)}")
        if not ((mask == 0) | (mask == 1)).all():
            raise ValueError("mask: expected only 0 and 1")
        self.register_buffer("mask", mask.detach().bool(), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A x: x where seen, 0 elsewhere."""
        return self._keep("x", x)

    def adjoint(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Aᵀy = A y."""
        return self._keep("y", y)

    def pinv(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A⁺y = A y: what was not seen is black, the value of least norm."""
        return self._keep("y", y)

    def _keep(self, name: str, x: Tensor) -> Tensor:
        check_images(name, x)
        m = self.mask
        fits = m.shape[-2:] == x.shape[-2:] and all(a in (1, b) for a, b in zip(m.shape[-3::-1], x.shape[-3::-1], strict=False))
        if not fits:
            raise ValueError(f"{name}: shape {tuple(x.shape)} does not fit the mask of shape {tuple(m.shape)}")
        return torch.where(m.to(x.device), x, 0)

    def extra_repr(self) -> str:
        return f"mask={'x'.join(map(str, self.mask.shape))}, seen={self.mask.double().mean():.0%}"
