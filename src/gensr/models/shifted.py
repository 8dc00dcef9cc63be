"""Convolutions that cannot see the future, without masks: padding at the top, and at the left, shifts what the kernel reads.

A kernel of 2 rows, padded with one row at the top, reads a place's own row and the one above. Pad it to the left as well and it reads nothing to the right.
Any stack of these sees no later place. If its *input* is shifted once, by a row or a column, it does not see its own place either. The same holds with
stride 2 and for the way back up, so that a network may have several resolutions.

Each layer runs in two ways: on whole maps, or place by place in reading order (`at`), keeping of its input the two rows that its kernel can still reach.

Reference: Salimans, Karpathy, Chen, Kingma 2017, "PixelCNN++", ICLR, §2.3–2.4; Ramachandran et al. 2017, "Fast generation for convolutional autoregressive
models", ICLR workshop.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class At(NamedTuple):
    """Where the sampler stands: at a place, or (j is None) on a row of which all places are computed at once. Each layer keeps two rows of its input."""

    memory: dict[nn.Module, Any]
    i: int
    j: int | None
    width: int

    @property
    def begins(self) -> bool:
        """Whether a 2 × 2 cell begins here: the coarser resolution has something new to compute only then."""
        return self.i % 2 == 0 and (self.j or 0) % 2 == 0

    def coarser(self) -> "At":
        return At(self.memory, self.i // 2, None if self.j is None else self.j // 2, (self.width + 1) // 2)


class Weight(nn.Module):
    """Weight normalisation, w = g v/‖v‖: each output channel has its own length g, and a direction (Salimans & Kingma 2016)."""

    def __init__(self, shape: tuple[int, int, int, int], channel: int = 0, scale: float = 1.0):
        super().__init__()
        self.axes = tuple(d for d in range(4) if d != channel)
        inputs = shape[1 - channel] * shape[2] * shape[3]
        self.direction = nn.Parameter(torch.randn(shape) * inputs**-0.5)
        self.length = nn.Parameter(torch.linalg.vector_norm(self.direction.detach(), dim=self.axes, keepdim=True) * scale)

    def forward(self) -> Float[Tensor, "a b rows columns"]:
        return self.length * self.direction / torch.linalg.vector_norm(self.direction, dim=self.axes, keepdim=True)


class ShiftedConv2d(nn.Module):
    """A convolution that reads its own row and the rows above, and of the columns those around its own, or (`right`) its own and those to the left.

    Args:
        channels, out: of its input and output.
        size: rows and columns of the kernel.
        right: whether it reads nothing to the right of its own place.
        stride: 2 to halve rows and columns, an odd one rounded up.
        scale: of the output at the beginning.

    Reference: Salimans et al. 2017, §2.3–2.4 and figure 2.
    """

    def __init__(self, channels: int, out: int, size: tuple[int, int] = (1, 1), *, right: bool = False, stride: int = 1, scale: float = 1.0):
        super().__init__()
        rows, columns = size
        self.left, self.right, self.top = (columns - 1, 0, rows - 1) if right else (columns // 2, columns // 2, rows - 1)
        self.stride, self.scale = stride, scale
        self.weight = Weight((out, channels, rows, columns), scale=scale)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Float[Tensor, "b c h w"], at: At | None = None) -> Float[Tensor, "b d h2 w2"]:
        if at is None:
            return F.conv2d(F.pad(x, (self.left, self.right, self.top, 0)), self.weight(), self.bias, self.stride)
        if self not in at.memory:
            weight = self.weight()
            at.memory[self] = weight, weight.flatten(1), x.new_zeros(*x.shape[:2], self.top + 1, self.left + at.width + self.right)
        weight, matrix, rows = at.memory[self]
        if rows.shape[2:] != (1, at.width):  # a 1×1 kernel needs no memory
            if not at.j:  # a new row
                rows[:, :, :-1] = rows[:, :, 1:].clone()
            j, width = (0, at.width) if at.j is None else (at.j, 1)
            rows[:, :, -1:, self.left + j : self.left + j + width] = x
            x = rows[:, :, :, j : j + self.left + width + self.right]
        if at.j is None:
            return F.conv2d(x, weight, self.bias, (1, self.stride))
        return F.linear(x.flatten(1), matrix, self.bias)[:, :, None, None]


class ShiftedConvTranspose2d(nn.Module):
    """Doubles rows and columns: a coarse place is written into its own 2 × 2 cell, and unless `right` one column to the left of it too.

    Place by place, x is given where a cell begins, and its four places are kept; at the other three x is None.
    """

    def __init__(self, channels: int, out: int, *, right: bool):
        super().__init__()
        self.left, self.scale = 0 if right else 1, 1.0
        self.weight = Weight((channels, out, 2, 2 + self.left), channel=1)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Float[Tensor, "b c h w"] | None, shape: tuple[int, int], at: At | None = None) -> Float[Tensor, "b d h2 w2"]:
        if at is None:
            assert x is not None  # None: a place where no cell begins, which whole maps do not have
            return F.conv_transpose2d(x, self.weight(), self.bias, 2)[:, :, : shape[0], self.left : self.left + shape[1]]
        if x is not None:
            if self not in at.memory:
                at.memory[self] = self.weight(), x.new_zeros(x.shape[0], len(self.bias), 2, at.width + 1)
            weight, cells = at.memory[self]
            y = F.conv_transpose2d(x, weight, self.bias, 2)[..., self.left :]
            j = at.j or 0
            width = min(y.shape[-1], cells.shape[-1] - j)
            cells[..., j : j + width] = y[..., :width]
        cells = at.memory[self][1]
        return cells[:, :, at.i % 2 : at.i % 2 + 1, : at.width] if at.j is None else cells[:, :, at.i % 2 : at.i % 2 + 1, at.j : at.j + 1]
