"""Named wrong answers, each with the message it must hear, and right answers written differently."""

from typing import NamedTuple


class Wrong(NamedTuple):
    name: str
    why: str
    code: str
    message: str


WRONG = {
    "adjoint": [
        Wrong(
            "turned kernel", "conv2d is a correlation, so one believes that its transpose needs the kernel turned round",
            code="def adjoint(y):\n    return F.conv_transpose2d(y, kernel.flip(2, 3), stride=2)",
            message="turned the kernel by 180°",
        ),
        Wrong(
            "brightness kept", "multiplies by stride² so that a grey image stays grey",
            code="def adjoint(y):\n    return 4 * F.conv_transpose2d(y, kernel, stride=2)",
            message="Right up to a factor",
        ),
        Wrong(
            "inverse", "takes the adjoint for the pseudo-inverse",
            code="def adjoint(y):\n    M = matrix(y.shape[-1])\n    n = 2 * y.shape[-1] + 2\n    return (y.flatten(1) @ torch.linalg.pinv(M).T).view(-1, 1, n, n)",
            message="you wrote an inverse",
        ),
        Wrong(
            "stride forgotten", "transposes the convolution and forgets that it had a stride",
            code="def adjoint(y):\n    return F.conv_transpose2d(y, kernel)",
            message="the adjoint takes 5 × 5 to 12 × 12",
        ),
        Wrong(
            "enlarge, then filter", "repeats each pixel and convolves, which is the usual way to enlarge an image in a network",
            code="def adjoint(y):\n    return F.conv2d(F.pad(F.interpolate(y, scale_factor=2.0), (3, 2, 3, 2)), kernel)",
            message="The dot test fails",
        ),
    ],
    "pseudo_inverse": [
        Wrong("adjoint", "takes Mᵀy for the inverse", code="def pseudo_inverse(M, y):\n    return M.T @ y", message="That is the adjoint"),
        Wrong(
            "multipliers", "stops at ν = (MMᵀ)⁻¹y",
            code="def pseudo_inverse(M, y):\n    return torch.linalg.solve(M @ M.T, y)",
            message="Those are the multipliers",
        ),
        Wrong(
            "any solution", "solves for as many unknowns as there are equations and sets the others to 0",
            code=(
                "def pseudo_inverse(M, y):\n    x = torch.zeros(M.shape[1], dtype=M.dtype)\n"
                "    keep = torch.arange(M.shape[1]).view(10, 10)[1:9:2, 1:9:2].flatten()\n    x[keep] = torch.linalg.solve(M[:, keep], y)\n    return x"
            ),
            message="longer than it need be",
        ),
        Wrong(
            "softened normal equations", "MᵀM has no inverse, so something is added to its diagonal until it has one",
            code="def pseudo_inverse(M, y):\n    return torch.linalg.solve(M.T @ M + 1e-2 * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y)",
            message="no term that softens the fit",
        ),
        Wrong(
            "formula of step 1", "least squares as for more equations than unknowns, where MᵀM has an inverse",
            code="def pseudo_inverse(M, y):\n    return torch.linalg.solve(M.T @ M, M.T @ y)",
            message="a matrix that has no inverse",
        ),
        Wrong(
            "adjoint, rescaled", "Mᵀy made as long as it should be",
            code="def pseudo_inverse(M, y):\n    return M.T @ y / M.square().sum(1).mean()",
            message="no single number mends that",
        ),
    ],
    "tikhonov": [
        Wrong(
            "mean forgotten", "the formula for a mean of 0, from memory",
            code="def tikhonov(M, y, lam, mu):\n    return torch.linalg.solve(M.T @ M + lam * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y)",
            message="Yours is 0",
        ),
        Wrong(
            "sign of the mean", "λμ moved across the equals sign without changing its sign",
            code="def tikhonov(M, y, lam, mu):\n    return torch.linalg.solve(M.T @ M + lam * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y - lam * mu)",
            message="Yours is -μ",
        ),
        Wrong(
            "lambda squared", "takes λ for a ratio of standard deviations",
            code="def tikhonov(M, y, lam, mu):\n    return torch.linalg.solve(M.T @ M + lam**2 * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y + lam**2 * mu)",
            message="the best one for λ²",
        ),
        Wrong(
            "mean without lambda", "adds μ where λμ belongs",
            code="def tikhonov(M, y, lam, mu):\n    return torch.linalg.solve(M.T @ M + lam * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y + mu)",
            message="must carry the same λ",
        ),
        Wrong(
            "mean added at the end", "solves for a mean of 0 and adds μ, without taking Mμ from the data",
            code="def tikhonov(M, y, lam, mu):\n    return mu + torch.linalg.solve(M.T @ M + lam * torch.eye(M.shape[1], dtype=M.dtype), M.T @ y)",
            message="The gradient is not zero",
        ),
        Wrong(
            "lambda everywhere", "M.T @ M + lam adds λ to every entry, not only to the diagonal",
            code="def tikhonov(M, y, lam, mu):\n    return torch.linalg.solve(M.T @ M + lam, M.T @ y + lam * mu)",
            message="λ times the identity",
        ),
        Wrong(
            "a two too many", "the derivative of one square keeps its 2, that of the other loses it",
            code=(
                "def tikhonov(M, y, lam, mu):\n    left = M.T @ M + 2 * lam * torch.eye(M.shape[1], dtype=M.dtype)\n"
                "    return torch.linalg.solve(left, M.T @ y + 2 * lam * mu)"
            ),
            message="the best one for 2λ",
        ),
        Wrong(
            "a two on the data", "the derivative of the misfit keeps its 2, that of the prior term loses it",
            code=(
                "def tikhonov(M, y, lam, mu):\n    left = 2 * M.T @ M + lam * torch.eye(M.shape[1], dtype=M.dtype)\n"
                "    return torch.linalg.solve(left, 2 * M.T @ y + lam * mu)"
            ),
            message="the best one for λ/2",
        ),
    ],
    "choose_lambda": [
        Wrong(
            "standard deviations", "σ/σₓ instead of σ²/σₓ²",
            code="def choose_lambda(card, photographs):\n    return (card.std() / torch.cat([p.flatten() for p in photographs]).std()).item()",
            message="ratio of standard deviations",
        ),
        Wrong(
            "upside down", "signal to noise instead of noise to signal",
            code="def choose_lambda(card, photographs):\n    return (torch.cat([p.flatten() for p in photographs]).var() / card.var()).item()",
            message="Upside down",
        ),
        Wrong(
            "mean square", "the brightness of the card counted as noise",
            code="def choose_lambda(card, photographs):\n    return (card.square().mean() / torch.cat([p.flatten() for p in photographs]).var()).item()",
            message="its brightness is no noise",
        ),
        Wrong(
            "noise alone", "the prior's variance forgotten",
            code="def choose_lambda(card, photographs):\n    return card.var().item()",
            message="That is σ² alone",
        ),
        Wrong(
            "photographs unseen", "takes the mean square of the photographs, without their mean",
            code="def choose_lambda(card, photographs):\n    return (card.var() / torch.cat([p.flatten() for p in photographs]).square().mean()).item()",
            message="Is the variance over all pixels",
        ),
    ],
}

RIGHT = {
    "adjoint": [
        "def adjoint(y):\n    n = 2 * y.shape[-1] + 2\n    x = torch.zeros(y.shape[0], 1, n, n, dtype=y.dtype, requires_grad=True)\n"
        "    return torch.autograd.grad(A(x), x, y.detach())[0]",
        "def adjoint(y):\n    k = y.shape[-1]\n    z = torch.zeros(y.shape[0], 1, 2 * k - 1, 2 * k - 1, dtype=y.dtype)\n    z[..., ::2, ::2] = y\n"
        "    return F.conv2d(F.pad(z, (3, 3, 3, 3)), kernel.flip(2, 3))",
    ],
    "pseudo_inverse": [
        "def pseudo_inverse(M, y):\n    U, s, Vh = torch.linalg.svd(M, full_matrices=False)\n    return Vh.T @ ((U.T @ y) / s)",
        "def pseudo_inverse(M, y):\n    Q, R = torch.linalg.qr(M.T)\n    return Q @ torch.linalg.solve_triangular(R.T, y[:, None], upper=False)[:, 0]",
    ],
    "tikhonov": [
        "def tikhonov(M, y, lam, mu):\n    inner = M @ M.T + lam * torch.eye(M.shape[0], dtype=M.dtype)\n    return mu + M.T @ torch.linalg.solve(inner, y - M @ mu)",
        "def tikhonov(M, y, lam, mu):\n    both = torch.cat([M, lam**0.5 * torch.eye(M.shape[1], dtype=M.dtype)])\n"
        "    return torch.linalg.lstsq(both, torch.cat([y, lam**0.5 * mu])[:, None]).solution[:, 0]",
    ],
    "choose_lambda": [
        "def choose_lambda(card, photographs):\n    n = sum(p.numel() for p in photographs)\n    mean = sum(p.sum() for p in photographs) / n\n"
        "    spread = sum((p - mean).square().sum() for p in photographs) / n\n    return float((card - card.mean()).square().mean() / spread)",
    ],
}
