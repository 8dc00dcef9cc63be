"""Wrong answers that people give to the exercises on supervised super-resolution, and right answers written differently."""

from typing import NamedTuple


class Wrong(NamedTuple):
    name: str
    why: str
    code: str
    message: str


WRONG = {
    "pixel_shuffle": [
        Wrong(
            "reshape without permute", "A reshape is thought to interleave, but it only cuts the same row of numbers at other places.",
            "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    return h.reshape(b, c // s**2, s * height, s * width)",
            "A reshape lays numbers out",
        ),
        Wrong(
            "u and v swapped", "The two sub-pixel axes are moved to the wrong sides, so each block comes out transposed.",
            "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    h = h.reshape(b, c // s**2, s, s, height, width).permute(0, 1, 4, 3, 5, 2)\n"
            "    return h.reshape(b, c // s**2, s * height, s * width)",
            "Row and column of the sub-pixels are swapped",
        ),
        Wrong(
            "colour fastest", "The channels are split with the colours innermost, as TensorFlow's depth_to_space does it.",
            "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    h = h.reshape(b, s, s, c // s**2, height, width).permute(0, 3, 4, 1, 5, 2)\n"
            "    return h.reshape(b, c // s**2, s * height, s * width)",
            "c is the slowest part of the channel number",
        ),
        Wrong(
            "s instead of s squared", "Only one side is thought to grow, so s channels are used up instead of their square.",
            "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    return h.reshape(b, c // s, s, height, width).permute(0, 1, 3, 2, 4).reshape(b, c // s, s * height, width)",
            "s² channels make one colour",
        ),
        Wrong(
            "height and width swapped", "The image axes are named in the order x, y while the tensor holds rows first.",
            "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    h = h.reshape(b, c // s**2, s, s, width, height).permute(0, 1, 5, 2, 4, 3)\n"
            "    return h.reshape(b, c // s**2, s * height, s * width)",
            "Are height and width swapped",
        ),
    ],
    "res_block": [
        Wrong(
            "ReLU after the addition", "The block of the first residual networks for classification ends in a ReLU, and is copied from there.",
            "def res_block(x, first, second, res_scale):\n    return torch.relu(x + res_scale * second(torch.relu(first(x))))",
            "No ReLU after the addition",
        ),
        Wrong(
            "skip from the first convolution", "One variable is overwritten step by step, and the skip picks up what it holds by then.",
            "def res_block(x, first, second, res_scale):\n    x = first(x)\n    return x + res_scale * second(torch.relu(x))",
            "The skip starts before the branch",
        ),
        Wrong(
            "res_scale forgotten", "It is 1 in small networks, so nobody misses it there.",
            "def res_block(x, first, second, res_scale):\n    return x + second(torch.relu(first(x)))",
            "res_scale = 0.5 made no difference",
        ),
        Wrong(
            "res_scale on the sum", "The factor is put outside the bracket and then shrinks the skip as well.",
            "def res_block(x, first, second, res_scale):\n    return res_scale * (x + second(torch.relu(first(x))))",
            "It belongs to the branch alone",
        ),
        Wrong(
            "no ReLU", "Two linear maps in a row are taken for depth.",
            "def res_block(x, first, second, res_scale):\n    return x + res_scale * second(first(x))",
            "or the two are no more than one",
        ),
        Wrong(
            "ReLU after both convolutions", "Every convolution is followed by a ReLU, as in a plain network.",
            "def res_block(x, first, second, res_scale):\n    return x + res_scale * torch.relu(second(torch.relu(first(x))))",
            "No ReLU after the second convolution",
        ),
        Wrong(
            "ReLU first", "The activation stands before each convolution, as in the later residual networks for classification.",
            "def res_block(x, first, second, res_scale):\n    return x + res_scale * second(torch.relu(first(torch.relu(x))))",
            "No ReLU in front of the first convolution",
        ),
        Wrong(
            "in place", "The sum is written into the tensor of the caller, who goes on using it.",
            "def res_block(x, first, second, res_scale):\n    x += res_scale * second(torch.relu(first(x)))\n    return x",
            "Your block overwrote its input",
        ),
    ],
    "patch_pair": [
        Wrong(
            "offset not scaled", "The same corner is used in both images although their pixels have different sizes.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    a = lr[:, i : i + size, j : j + size]\n    b = hr[:, i : i + scale * size, j : j + scale * size]\n"
            "    return (a.flip(-1), b.flip(-1)) if flip else (a, b)",
            "The corner must be multiplied by the scale",
        ),
        Wrong(
            "size not scaled", "The two patches are made equally large in pixels, and so show different parts of the scene.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    a = lr[:, i : i + size, j : j + size]\n    b = hr[:, scale * i : scale * i + size, scale * j : scale * j + size]\n"
            "    return (a.flip(-1), b.flip(-1)) if flip else (a, b)",
            "scale · size pixels on a side",
        ),
        Wrong(
            "rows and columns swapped", "One image is indexed as (x, y) and the other one as (row, column).",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    a = lr[:, i : i + size, j : j + size]\n"
            "    b = hr[:, scale * j : scale * (j + size), scale * i : scale * (i + size)]\n    return (a.flip(-1), b.flip(-1)) if flip else (a, b)",
            "its rows and columns are swapped",
        ),
        Wrong(
            "only the input flipped", "Augmentation is done as for classification, where the label does not change when the picture is mirrored.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    a = lr[:, i : i + size, j : j + size]\n"
            "    b = hr[:, scale * i : scale * (i + size), scale * j : scale * (j + size)]\n    return (a.flip(-1) if flip else a), b",
            "Only the LR patch was flipped",
        ),
        Wrong(
            "different flips", "The pair is mirrored, but one half left to right and the other half upside down.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    a = lr[:, i : i + size, j : j + size]\n"
            "    b = hr[:, scale * i : scale * (i + size), scale * j : scale * (j + size)]\n    return (a.flip(-1), b.flip(-2)) if flip else (a, b)",
            "Both get the same flip",
        ),
        Wrong(
            "mirrored before the cut", "The images are mirrored whole, and the corner (i, j) is then counted from the other side.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    lr, hr = (lr.flip(-1), hr.flip(-1)) if flip else (lr, hr)\n"
            "    return lr[:, i : i + size, j : j + size], hr[:, scale * i : scale * (i + size), scale * j : scale * (j + size)]",
            "it shows another place",
        ),
        Wrong(
            "upside down", "flip(1) is the second axis of (3, h, w), the rows, and not left and right.",
            "def patch_pair(lr, hr, scale, size, i, j, flip):\n    pair = lr[:, i : i + size, j : j + size], hr[:, scale * i : scale * (i + size), scale * j : scale * (j + size)]\n"
            "    return tuple(p.flip(1) for p in pair) if flip else pair",
            "You turned the pair upside down",
        ),
    ],
    "psnr_y": [
        Wrong(
            "peak of 255 on [0, 1]", "The formula is copied with its peak while the values stay between 0 and 1.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255\n"
            "    a, b = ((w * (v.clamp(0, 1) * 255).round() / 255).sum(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "The peak must fit the range",
        ),
        Wrong(
            "mean over RGB", "The error is averaged over the three colours, as every library's PSNR does by default.",
            "def psnr_y(x_hat, x, scale):\n    a, b = ((v.clamp(0, 1) * 255).round()[..., scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2, 3)))",
            "that is the mean over R, G and B",
        ),
        Wrong(
            "full-range luma", "JPEG's luma 0.299 R + 0.587 G + 0.114 B is taken, which has no foot room and no head room.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)\n"
            "    a, b = ((w * (v.clamp(0, 1) * 255).round()).sum(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "your luma runs from 0 to 255",
        ),
        Wrong(
            "no shaving", "The border is kept, where methods differ by how they pad and not by how good they are.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255\n"
            "    a, b = ((w * (v.clamp(0, 1) * 255).round()).sum(1) for v in (x_hat, x))\n    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "Benchmarks shave scale pixels",
        ),
        Wrong(
            "no rounding", "The float output of the network is scored although nobody will ever see more than 256 levels of it.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)\n"
            "    a, b = ((w * v.clamp(0, 1)).sum(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "round to 8 bits first",
        ),
        Wrong(
            "mean of the colours", "Grey is taken for the plain mean of R, G and B.",
            "def psnr_y(x_hat, x, scale):\n    a, b = ((v.clamp(0, 1) * 255).round().mean(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "plain mean of R, G and B for the luma",
        ),
        Wrong(
            "luma rounded", "The 8 bits are given to Y, and not to the file it is computed from.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)\n"
            "    a, b = ((16 + (w * v.clamp(0, 1)).sum(1)).round()[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "You rounded the luma",
        ),
        Wrong(
            "cut to bytes", "Converting to bytes drops the fraction instead of rounding it.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255\n"
            "    a, b = ((w * ((v.clamp(0, 1) * 255 + 1e-3).byte())).sum(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2)))",
            "moved the result by a whole grey level",
        ),
        Wrong(
            "one number for the batch", "The squared error is averaged over the images before the logarithm, which is not the mean of their PSNRs.",
            "def psnr_y(x_hat, x, scale):\n    w = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255\n"
            "    a, b = ((w * (v.clamp(0, 1) * 255).round()).sum(1)[:, scale:-scale, scale:-scale] for v in (x_hat, x))\n"
            "    return 10 * torch.log10(255**2 / (a - b).square().mean())",
            "One number for each image",
        ),
    ],
}

RIGHT = {
    "pixel_shuffle": [
        "def pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n    out = h.new_empty(b, c // s**2, s * height, s * width)\n"
        "    for u in range(s):\n        for v in range(s):\n            out[:, :, u::s, v::s] = h[:, u * s + v :: s**2]\n    return out",
        "import torch\ndef pixel_shuffle(h, s):\n    b, c, height, width = h.shape\n"
        "    return torch.einsum('bcuvij->bciujv', h.view(b, -1, s, s, height, width)).reshape(b, -1, s * height, s * width)",
    ],
    "res_block": [
        "def res_block(x, first, second, res_scale):\n    return torch.add(x, second(first(x).clamp(min=0)), alpha=res_scale)",
    ],
    "patch_pair": [
        "def patch_pair(lr, hr, scale, size, i, j, flip):\n    pair = []\n    for image, f in ((lr, 1), (hr, scale)):\n"
        "        p = image.narrow(1, f * i, f * size).narrow(2, f * j, f * size)\n        pair.append(p.flip(2) if flip else p)\n    return tuple(pair)",
    ],
    "psnr_y": [
        "from gensr.metrics import psnr, to_y\ndef psnr_y(x_hat, x, scale):\n    cut = (..., slice(scale, -scale), slice(scale, -scale))\n"
        "    a, b = (255 * to_y((v.clamp(0, 1) * 255).round() / 255)[cut] for v in (x_hat, x))\n    return psnr(a, b, data_range=255)",
    ],
}
