"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


HEAD = """
class ManyAnswers(nn.Module):
    def __init__(self, network, A, latent):
        super().__init__()
        self.network, self.A, self.latent = network, A, latent

    def noise(self, y):
        return torch.randn(len(y), self.latent, *y.shape[2:])

    def project(self, x, y):
        return x + self.A.pinv(y - self.A(x))
"""

WRONG = {
    "ManyAnswers": [
        Wrong("noise after the projection", "a stochastic generator thought to be a generator plus noise", code=HEAD + """
    def forward(self, y, z=None):
        z = torch.zeros(len(y), self.latent, *y.shape[2:])
        x = self.project(self.network(torch.cat([y, z], 1)), y)
        return x + torch.randn_like(x)
""", message="where no projection follows"),
        Wrong("one z for the batch", "torch.randn(latent), broadcast", code=HEAD + """
    def forward(self, y, z=None):
        if z is None:
            z = self.noise(y[:1]).expand(len(y), self.latent, *y.shape[2:])
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="whole batch shares one z"),
        Wrong("drawn at construction", "the noise made a member, as weights are", code="""
class ManyAnswers(nn.Module):
    def __init__(self, network, A, latent):
        super().__init__()
        self.network, self.A, self.latent = network, A, latent
        self.z = torch.randn(10_000, latent)

    def forward(self, y, z=None):
        z = self.z[:len(y)] if z is None else z
        x = self.network(torch.cat([y, z], 1))
        return x + self.A.pinv(y - self.A(x))
""", message="drawn once, before the first call"),
        Wrong("noise times zero", "a deterministic network with room for noise", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([y, 0 * z], 1)), y)
""", message="shown zeros where the noise"),
        Wrong("adjoint", "Aᵀ in place of A⁺", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        x = self.network(torch.cat([y, z], 1))
        return x + self.A.adjoint(y - self.A(x))
""", message="sent back by Aᵀ"),
        Wrong("noise on y", "the measurement made noisy, and the answer fitted to that", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        y = y + z[:, :1]
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="noise got into the measurement"),
        Wrong("A⁺y added", "the guess's own part not removed", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.network(torch.cat([y, z], 1)) + self.A.pinv(y)
""", message="the guess's own part out"),
        Wrong("sign", "A f − y in place of y − A f", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        x = self.network(torch.cat([y, z], 1))
        return x + self.A.pinv(self.A(x) - y)
""", message="goes the wrong way"),
        Wrong("the other half", "A⁺A f kept for (I − A⁺A) f", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.A.pinv(self.A(self.network(torch.cat([y, z], 1))))
""", message="lost the part to which it is blind"),
        Wrong("no projection", "trusted to be learnt", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.network(torch.cat([y, z], 1))
""", message="guess as it came"),
        Wrong("projected twice over", "the projected guess loses its part in the null space", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        x = self.project(self.network(torch.cat([y, z], 1)), y)
        return self.A.pinv(self.A(x))
""", message="says no more than the measurement"),
        Wrong("given noise ignored", "new noise in every case", code=HEAD + """
    def forward(self, y, z=None):
        return self.project(self.network(torch.cat([y, self.noise(y)], 1)), y)
""", message="two different answers"),
        Wrong("noise first", "[z, y] for [y, z]", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([z, y], 1)), y)
""", message="y comes first"),
        Wrong("uniform noise", "torch.rand", code=HEAD + """
    def forward(self, y, z=None):
        z = torch.rand(len(y), self.latent, *y.shape[2:]) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="Which of torch's generators"),
        Wrong("faint noise", "scaled down, so as not to disturb", code=HEAD + """
    def forward(self, y, z=None):
        z = 0.1 * self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="for the network to learn"),
        Wrong("no gradient", "sampling written as in evaluation", code=HEAD + """
    @torch.no_grad()
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="cut off from the network"),
        Wrong("one z for an image", "a code for the image, spread over its places", code=HEAD + """
    def forward(self, y, z=None):
        if z is None:
            z = torch.randn(len(y), self.latent, *[1] * (y.dim() - 2)).expand(-1, -1, *y.shape[2:])
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="One draw for a whole image"),
        Wrong("noise like y", "as many numbers as y has", code=HEAD + """
    def forward(self, y, z=None):
        z = torch.randn_like(y) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="How many numbers are drawn"),
        Wrong("no noise", "z is an argument, and nothing is made of it", code=HEAD + """
    def forward(self, y, z=None):
        return self.project(self.network(y), y)
""", message="no noise behind it"),
        Wrong("noise for points", "the places of an image forgotten", code=HEAD + """
    def forward(self, y, z=None):
        z = torch.randn(len(y), self.latent) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="got 4 and 2"),
        Wrong("last dimension", "channels are last for points, and only there", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([y, z], -1)), y)
""", message="Sizes of tensors must match"),
        Wrong("A⁺y missing", "(I − A⁺A) f, and no more", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        x = self.network(torch.cat([y, z], 1))
        return x - self.A.pinv(self.A(x))
""", message="has not come in"),
        Wrong("uniform from −1", "mean 0 taken for normal", code=HEAD + """
    def forward(self, y, z=None):
        z = 2 * torch.rand(len(y), self.latent, *y.shape[2:]) - 1 if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="not a bell curve"),
        Wrong("one number for all channels", "one draw for each y, spread over the channels", code=HEAD + """
    def forward(self, y, z=None):
        if z is None:
            z = torch.randn(len(y), 1, *y.shape[2:]).repeat_interleave(self.latent, 1)
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", message="one and the same"),
        Wrong("correction held constant", "detached, as a repair after the fact", code=HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        x = self.network(torch.cat([y, z], 1))
        return x + self.A.pinv(y - self.A(x)).detach()
""", message="do not hold it constant"),
    ],
    "posterior": [
        Wrong("prior covariance", "a mean is updated, a covariance is not", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), S
""", message="covariance, untouched"),
        Wrong("A⁺ as the gain", "the affine projection of the prior", code="""
def posterior(m, S, A, y):
    K = torch.linalg.pinv(A)
    P = torch.eye(len(m)) - K @ A
    return m + K @ (y - A @ m), P @ S @ P.T
""", message="third pixel has not moved"),
        Wrong("A⁺ in the covariance", "the right mean, and draws moved by the projection", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    P = torch.eye(len(m)) - torch.linalg.pinv(A) @ A
    return m + K @ (y - A @ m), P @ S @ P.T
""", message="prior draws moved to y"),
        Wrong("mean forgotten", "the formula for m = 0", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return K @ y, S - K @ A @ S
""", message="prior's mean has no part"),
        Wrong("y for the surprise", "A m not taken off", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ y, S - K @ A @ S
""", message="is news"),
        Wrong("adjoint as the gain", "Aᵀ for an inverse", code="""
def posterior(m, S, A, y):
    K = A.T
    return m + K @ (y - A @ m), S - K @ A @ S
""", message="surprise was sent back by Aᵀ"),
        Wrong("not divided", "the covariance of x and y taken for the gain", code="""
def posterior(m, S, A, y):
    K = S @ A.T
    return m + K @ (y - A @ m), S - K @ A @ S
""", message="By what is this to be divided"),
        Wrong("noise added", "the textbook's formula with R = I", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T + torch.eye(len(y)))
    return m + K @ (y - A @ m), S - K @ A @ S
""", message="as if it had noise"),
        Wrong("sign", "the covariances added up", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), S + K @ A @ S
""", message="the variances grew"),
        Wrong("explained part", "K A S without S before it", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), K @ A @ S
""", message="part that is left"),
        Wrong("variances alone", "the diagonal thought to be enough", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), torch.diag(torch.diagonal(S - K @ A @ S))
""", message="dropped the correlations"),
        Wrong("each report by itself", "division by the diagonal of A S Aᵀ", code="""
def posterior(m, S, A, y):
    K = S @ A.T / torch.diagonal(A @ S @ A.T)
    return m + K @ (y - A @ m), S - K @ A @ S
""", message="each cannot be put right by itself"),
        Wrong("exchanged", "covariance first", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return S - K @ A @ S, m + K @ (y - A @ m)
""", message="first, then covariance"),
        Wrong("shortest", "A⁺y for the mean", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return torch.linalg.pinv(A) @ y, S - K @ A @ S
""", message="*shortest* x"),
        Wrong("S forgotten", "I − K A returned", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), torch.eye(len(m)) - K @ A
""", message="I − K A, without S"),
        Wrong("A⁺A S taken off", "the gain in the mean, A⁺ in the covariance", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    return m + K @ (y - A @ m), S - torch.linalg.pinv(A) @ A @ S
""", message="gain of a prior without correlations"),
        Wrong("not transposed", "P S P for P S Pᵀ", code="""
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    P = torch.eye(len(m)) - K @ A
    return m + K @ (y - A @ m), P @ S @ P
""", message="multiply it from the right"),
        Wrong("precision", "the second way, with one inverse forgotten", code="""
def posterior(m, S, A, y):
    N = torch.linalg.svd(A).Vh[len(y):].T
    precision = torch.linalg.inv(S)
    start, C = torch.linalg.pinv(A) @ y, N @ torch.linalg.inv(N.T @ precision @ N) @ N.T
    return start + C @ precision @ (m - start), N @ (N.T @ precision @ N) @ N.T
""", message="yet to be inverted"),
    ],
    "covered": [
        Wrong("counts modes", "each region counts the same", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    return (share >= least).float().mean()
""", message="to miss the highest"),
        Wrong("share of samples", "the samples ask themselves", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    return share[share >= least].sum()
""", message="They cannot tell what they miss"),
        Wrong("threshold turned round", "share < least", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[share < least].sum()
""", message="was *not* reached"),
        Wrong("density at the samples", "good places taken for many places", code="""
def covered(s, log_p, samples, least=0.02):
    log_p = log_p - log_p.logsumexp(0) - (s[1] - s[0]).log()
    i = (samples[:, None] - s).abs().argmin(1)
    return log_p[i].exp().mean()
""", message="a single sample at the top"),
        Wrong("from first to last", "the range of the samples", code="""
def covered(s, log_p, samples, least=0.02):
    inside = (s >= samples.min()) & (s <= samples.max())
    return log_p.softmax(0)[inside].sum()
""", message="leftmost and the rightmost"),
        Wrong("cuts at the peaks", "the comparison turned round", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] > log_p[:-2]) & (log_p[1:-1] > log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[share >= least].sum()
""", message="cuts are at the peaks"),
        Wrong("mass times share", "an expectation under the samples", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return (mass * share).sum()
""", message="whole or not at all"),
        Wrong("threshold for the mass", "regions with little mass left out", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[mass >= least].sum()
""", message="not about the region's own mass"),
        Wrong("one is enough", "reached by any sample", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[torch.bucketize(samples, cuts).unique()].sum()
""", message="One sample of a hundred"),
        Wrong("cells", "each point of the grid a region", code="""
def covered(s, log_p, samples, least=0.02):
    i = (samples[:, None] - s).abs().argmin(1).unique()
    return log_p.softmax(0)[i].sum()
""", message="grid points on which a sample falls"),
        Wrong("constant kept", "exp(log_p) thought to be normalised", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.exp() * (s[1] - s[0]))
    return mass[share >= least].sum()
""", message="given with another constant"),
        Wrong("valleys of p", "exp first, then the comparison", code="""
def covered(s, log_p, samples, least=0.02):
    p = log_p.softmax(0)
    valley = (p[1:-1] < p[:-2]) & (p[1:-1] < p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), p)
    return mass[share >= least].sum()
""", message="underflows to a flat 0"),
        Wrong("valleys by their level", "a valley thought to be nearly empty", code="""
def covered(s, log_p, samples, least=0.02):
    low = log_p < log_p.max() - 4
    number = (low[1:] & ~low[:-1]).cumsum(0)
    number = torch.cat([number[:1], number])
    i = (samples[:, None] - s).abs().argmin(1)
    share = torch.bincount(number[i], minlength=int(number.max()) + 1) / len(samples)
    mass = torch.zeros(int(number.max()) + 1).index_add(0, number, log_p.softmax(0))
    return mass[share >= least].sum()
""", message="became one"),
        Wrong("overlap", "the chapter's other mark", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return torch.minimum(mass, share).sum()
""", message="smaller of share and mass"),
        Wrong("densities added", "exp(log_p) for probabilities of the grid points", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.exp())
    return mass[share >= least].sum()
""", message="divided by their sum"),
        Wrong("exp first", "normalised, but after the exp", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    p = log_p.exp() / log_p.exp().sum()
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), p)
    return mass[share >= least].sum()
""", message="0/0 is no probability"),
        Wrong("a part of its own mass", "the chapter's rule", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[share >= least * mass].sum()
""", message="*own mass*"),
        Wrong("always 2 %", "the default written into the body", code="""
def covered(s, log_p, samples, least=0.02):
    valley = (log_p[1:-1] < log_p[:-2]) & (log_p[1:-1] < log_p[2:])
    cuts = s[1:-1][valley]
    share = torch.bincount(torch.bucketize(samples, cuts), minlength=len(cuts) + 1) / len(samples)
    mass = torch.zeros(len(cuts) + 1).index_add(0, torch.bucketize(s, cuts), log_p.softmax(0))
    return mass[share >= 0.02].sum()
""", message="threshold always the same"),
    ],
    "diversity": [
        Wrong("contrast", "the deviation over the pixels of each answer", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.flatten(1).std(1, correction=0).mean(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="contrast of an answer"),
        Wrong("contrast of the average", "mean over samples, then the deviation", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.mean(0).std(correction=0), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="contrast of that one picture"),
        Wrong("brightness", "mean over pixels before the deviation", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.flatten(1).mean(1).std(correction=0), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="brightness of the whole picture"),
        Wrong("n − 1", "torch's default", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0).mean(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="divided by n − 1"),
        Wrong("no 255", "left in units of white", code="""
def diversity(samples, truth):
    return samples.std(0, correction=0).mean(), (samples - truth).square().mean(), (samples.mean(0) - truth).square().mean()
""", message="White counts as 1"),
        Wrong("clipped", "made a picture before it is judged", code="""
def diversity(samples, truth):
    v, t = 255 * samples.clamp(0, 1), 255 * truth
    return v.std(0, correction=0).mean(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="clipped the answers"),
        Wrong("variance", "no root", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.var(0, correction=0).mean(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="The mean variance"),
        Wrong("root of the mean variance", "root and mean exchanged", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.var(0, correction=0).mean().sqrt(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="took the root at the end"),
        Wrong("from the truth", "the error of a pixel taken for its scatter", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return (v - t).square().mean(0).sqrt().mean(), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="deviation from the truth"),
        Wrong("pairs", "the mean distance of two answers", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    n = len(v)
    pairs = (v[:, None] - v).abs().mean((2, 3, 4)).sum() / (n * (n - 1))
    return pairs, (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="Distances between pairs"),
        Wrong("exchanged", "the average first", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0, correction=0).mean(), (v.mean(0) - t).square().mean(), (v - t).square().mean()
""", message="have changed places"),
        Wrong("255 once", "the square forgotten in the unit", code="""
def diversity(samples, truth):
    sigma = samples.std(0, correction=0).mean()
    return 255 * sigma, 255 * (samples - truth).square().mean(), 255 * (samples.mean(0) - truth).square().mean()
""", message="unit twice"),
        Wrong("first answer alone", "one answer taken at its word", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0, correction=0).mean(), (v[0] - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="first answer alone"),
        Wrong("sum over pixels", "the squared norm as it stands in the formula", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0, correction=0).mean(), (v - t).flatten(1).square().sum(1).mean(), (v.mean(0) - t).square().sum()
""", message="added up the pixels"),
        Wrong("roots", "errors in grey levels", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0, correction=0).mean(), (v - t).square().mean().sqrt(), (v.mean(0) - t).square().mean().sqrt()
""", message="Roots of the errors"),
        Wrong("all together", "one deviation over answers and pixels", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(correction=0), (v - t).square().mean(), (v.mean(0) - t).square().mean()
""", message="thrown together"),
        Wrong("best answer", "the nearest answer, as IMLE takes it", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    return v.std(0, correction=0).mean(), (v - t).square().flatten(1).mean(1).min(), (v.mean(0) - t).square().mean()
""", message="error of the best answer"),
        Wrong("sum with n − 1", "the first error made from the second, with torch's default", code="""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    together = (v.mean(0) - t).square().mean()
    return v.std(0, correction=0).mean(), together + v.var(0).mean(), together
""", message="added the variance with n − 1"),
    ],
}

RIGHT = {
    "ManyAnswers": [HEAD + """
    def forward(self, y, z=None):
        z = self.noise(y) if z is None else z
        return self.project(self.network(torch.cat([y, z], 1)), y)
""", """
class ManyAnswers(nn.Module):
    def __init__(self, network, A, latent):
        super().__init__()
        self.network, self.A, self.latent = network, A, latent

    def forward(self, y, z=None):
        if z is None:
            z = torch.normal(0.0, 1.0, (y.shape[0], self.latent) + tuple(y.shape[2:]))
        f = self.network(torch.hstack([y, z]))
        hidden = f - self.A.pinv(self.A(f))
        return hidden + self.A.pinv(y)
""", """
class ManyAnswers(nn.Module):
    def __init__(self, network, A, latent):
        super().__init__()
        self.network, self.A, self.latent = network, A, latent

    def forward(self, y, z=None):
        b, c, *size = y.shape
        if z is None:
            z = y.new_empty(b, self.latent, *size).normal_()
        f = self.network(torch.cat([y, z], dim=1))
        residual = self.A(f)
        residual -= y
        return f - self.A.pinv(residual)
"""],
    "posterior": ["""
def posterior(m, S, A, y):
    N = torch.linalg.svd(A).Vh[len(y):].T
    start, precision = torch.linalg.pinv(A) @ y, torch.linalg.inv(S)
    C = N @ torch.linalg.inv(N.T @ precision @ N) @ N.T
    return start + C @ precision @ (m - start), C
""", """
def posterior(m, S, A, y):
    K = S @ A.T @ torch.linalg.inv(A @ S @ A.T)
    P = torch.eye(len(m)) - K @ A
    return P @ m + K @ y, P @ S @ P.T
""", """
def posterior(m, S, A, y):
    m, S, A, y = (v.double() for v in (m, S, A, y))
    L = torch.linalg.cholesky(S)
    B = torch.linalg.pinv(A @ L)
    return m + L @ B @ (y - A @ m), L @ (torch.eye(len(m)) - B @ (A @ L)) @ L.T
"""],
    "covered": ["""
def covered(s, log_p, samples, least=0.02):
    v = log_p.tolist()
    number, current = [], 0
    for i in range(len(v)):
        if 0 < i < len(v) - 1 and v[i] < v[i - 1] and v[i] < v[i + 1]:
            current += 1
        number.append(current)
    p = torch.softmax(log_p, 0).tolist()
    home = [number[(s - t).abs().argmin()] for t in samples]
    return sum(q for q, k in zip(p, number) if home.count(k) / len(home) >= least)
""", """
def covered(s, log_p, samples, least=0.02):
    slope = torch.diff(log_p)
    edges = s[1:-1][(slope[:-1] < 0) & (slope[1:] > 0)]
    edges = torch.cat([torch.tensor([-math.inf]), edges, torch.tensor([math.inf])])
    p = (log_p - log_p.max()).exp()
    total = 0.0
    for a, b in zip(edges[:-1], edges[1:]):
        if ((samples > a) & (samples <= b)).float().mean() >= least:
            total += (p[(s > a) & (s <= b)].sum() / p.sum()).item()
    return total
""", """
def covered(s, log_p, samples, least=0.02):
    p = torch.exp(log_p - torch.logsumexp(log_p, 0))
    cut = [i for i in range(1, len(s) - 1) if log_p[i] <= log_p[i - 1] and log_p[i] < log_p[i + 1]]
    ends, total = [0, *cut, len(s)], torch.tensor(0.0)
    for a, b in zip(ends[:-1], ends[1:]):
        low, high = s[a] if a else -math.inf, s[b] if b < len(s) else math.inf
        if ((samples >= low) & (samples < high)).sum() >= least * len(samples):
            total += p[a:b].sum()
    return total
"""],
    "diversity": ["""
def diversity(samples, truth):
    v, t = 255 * samples, 255 * truth
    together = (v.mean(0) - t).square().mean()
    return v.std(0, correction=0).mean(), together + v.var(0, correction=0).mean(), together
""", """
def diversity(samples, truth):
    n = len(samples)
    m = sum(samples) / n
    sigma = (sum((x - m) ** 2 for x in samples) / n) ** 0.5
    errors = [((x - truth) ** 2).mean() for x in samples]
    return sigma.mean() * 255, sum(errors) / n * 255**2, ((m - truth) ** 2).mean() * 255**2
"""],
}
