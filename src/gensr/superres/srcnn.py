"""SRCNN: the first convolutional network for super-resolution: enlarge by bicubic, then three convolutions on the luma.

Reference: Dong, Loy, He, Tang 2014, "Learning a Deep Convolutional Network for Image Super-Resolution", ECCV; 2016, TPAMI (the 9-5-5 network).
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.metrics import to_y
from gensr.resize import bicubic_upsample


class SRCNN(nn.Module):
    """Three convolutions that the paper reads as patch extraction, non-linear mapping and reconstruction.

    Only the luma Y is enhanced; the colour differences are enlarged by bicubic, because the eye hardly resolves them. Y is moved, and R, G and B
    follow by the same amount, which leaves the colour differences untouched.

    Args:
        scale: enlargement factor s.
        kernels: sizes f₁, f₂, f₃ of the three convolutions; the ECCV paper has 9-1-5, the journal's best 9-5-5.
        channels: n₁, n₂.
    """

    def __init__(self, scale: int = 4, kernels: tuple[int, int, int] = (9, 5, 5), channels: tuple[int, int] = (64, 32)):
        super().__init__()
        self.scale = scale
        (f1, f2, f3), (n1, n2) = kernels, channels
        self.extract = nn.Conv2d(1, n1, f1, padding=f1 // 2, padding_mode="replicate")
        self.map = nn.Conv2d(n1, n2, f2, padding=f2 // 2, padding_mode="replicate")
        self.reconstruct = nn.Conv2d(n2, 1, f3, padding=f3 // 2, padding_mode="replicate")

    def luma(self, v: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Enhance an enlarged luma, (16 .. 235)/255."""
        h = F.relu(self.extract(v))  # (b, n1, h, w)
        h = F.relu(self.map(h))  # (b, n2, h, w)
        return self.reconstruct(h)

    def forward(self, y: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Enlarge LR images in [0, 1]; the output is not clipped."""
        up = bicubic_upsample(y, self.scale)
        v = to_y(up)
        # Y = 16/255 + 219/255 · (a convex mixture of R, G, B): adding 255/219 of a change of Y to all three changes Y by just that.
        return up + (self.luma(v) - v) * (255 / 219)

    def loss(self, y: Float[Tensor, "b 3 h w"], x: Float[Tensor, "b 3 h2 w2"]) -> Float[Tensor, ""]:
        """Mean squared error on the luma (TPAMI, eq. 4)."""
        v = to_y(bicubic_upsample(y, self.scale))
        return (self.luma(v).float() - to_y(x)).square().mean()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser: the last layer learns ten times slower, without which the paper's SGD diverges (TPAMI, §3.3).

        `fit` multiplies its rate by each group's "lr_scale": ``fit(net, ..., optimizer=torch.optim.Adam(net.parameter_groups(), lr=1e-3))``.
        """
        return [
            {"params": [*self.extract.parameters(), *self.map.parameters()], "lr_scale": 1.0},
            {"params": list(self.reconstruct.parameters()), "lr_scale": 0.1},
        ]
