"""EDSR: residual blocks without batch normalisation, a pixel shuffle at the end, and an L1 loss.

Reference: Lim, Son, Kim, Nah, Lee 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops, §3.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gensr.nets import ResBlock
from gensr.resize import bicubic_upsample


class EDSR(nn.Module):
    """EDSR at teaching size: 48 channels and 8 residual blocks make 375k parameters at ×4.

    The paper's baseline has 64 and 16 (1.5M), its full model 256 and 32 (43M).

    Two differences from the paper save time on a CPU: the last convolution writes all 3·s² sub-pixels at once instead of upsampling in steps of two, and
    the network is added to a bicubic enlargement, so that it learns only what bicubic misses.

    Args:
        scale: enlargement factor s.
        channels: feature channels.
        blocks: residual blocks.
        res_scale: factor on each block's branch; 1 for small networks, 0.1 for 256 channels (§3.3).
    """

    mean: Tensor

    def __init__(self, scale: int = 4, channels: int = 48, blocks: int = 8, res_scale: float = 1.0):
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1))  # mean colour of DIV2K
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResBlock(channels, res_scale) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Sequential(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, y: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Enlarge LR images in [0, 1]; the output is not clipped."""
        h = self.head(y - self.mean)  # (b, c, h, w)
        h = h + self.body(h)
        return bicubic_upsample(y, self.scale) + self.tail(h)

    def loss(self, y: Float[Tensor, "b 3 h w"], x: Float[Tensor, "b 3 h2 w2"]) -> Float[Tensor, ""]:
        """Mean absolute error, which the paper found better than squared error (§4.2)."""
        return (self(y).float() - x).abs().mean()


def self_ensemble(net: nn.Module, y: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
    """Average a network over the eight flips and quarter turns of its input; the paper marks such results with "+".

    Reference: Timofte et al. 2016; Lim et al. 2017, §3.4.
    """
    total = None
    for turns in range(4):
        for flip in (False, True):
            v = torch.rot90(y, turns, (-2, -1))
            v = net(v.flip(-1) if flip else v)
            v = torch.rot90(v.flip(-1) if flip else v, -turns, (-2, -1))
            total = v if total is None else total + v
    assert total is not None
    return total / 8
