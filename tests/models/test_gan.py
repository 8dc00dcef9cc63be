"""GANs: every loss against its divergence, noise on both sides, and a game of two players that resumes bit for bit."""

import math
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from gensr.models.gan import GAN, Losses, anneal, instance_noise, kl, least_squares, non_saturating, relativistic_average, saturating
from gensr.nets import MLP
from gensr.train import cosine, fit, fit_gan

GAMES = [saturating, non_saturating, kl, least_squares, relativistic_average]
STANDARD = GAMES[:3]


class Numbers:
    """Draws from N(2, 0.5²), shuffled anew in each pass."""

    def __init__(self, n: int = 512, batch: int = 64):
        g = torch.Generator().manual_seed(5)
        self.x, self.batch = 2 + 0.5 * torch.randn(n, 1, generator=g), batch

    def __iter__(self):
        for rows in torch.randperm(len(self.x)).split(self.batch):
            yield self.x[rows]


def new_gan(seed: int = 0, **keywords) -> GAN:
    torch.manual_seed(seed)
    return GAN(nn.Linear(1, 1), MLP(1, 32, 32, 1), 1, **keywords)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(u, v) for u, v in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# ---- the losses ----------------------------------------------------------------------------------------------------------------------


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


def test_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
    critic = (softplus(-2) + softplus(0)) / 2 + (softplus(-1) + softplus(1)) / 2
    generators = {saturating: -(softplus(-1) + softplus(1)) / 2, non_saturating: (softplus(1) + softplus(-1)) / 2, kl: 0.0}
    for game, generator in generators.items():
        assert game(real, fake).critic.item() == pytest.approx(critic)
        assert game(real, fake).generator.item() == pytest.approx(generator)
    # mean of squares, not square of the mean: (1 + 1)/2 and (1 + 1)/2, each halved; the generator's (4 + 0)/2, halved
    assert least_squares(real, fake) == Losses(torch.tensor(1.0), torch.tensor(1.0))
    # mean logits: 1 of data, 0 of samples. Data stand 2 and 0 above the samples' mean; samples 2 and 0 below that of the data.
    both = relativistic_average(real, fake)
    assert both.critic.item() == pytest.approx((softplus(-2) + softplus(0)) / 2 + (softplus(-2) + softplus(0)) / 2)
    assert both.generator.item() == pytest.approx((softplus(2) + softplus(0)) / 2 + (softplus(2) + softplus(0)) / 2)


@pytest.mark.parametrize("game", STANDARD)
def test_critic_loss_is_binary_cross_entropy(game):
    real, fake = torch.randn(7, 1), torch.randn(9, 1)
    entropy = nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(game(real, fake).critic, entropy(real, torch.ones(7, 1)) + entropy(fake, torch.zeros(9, 1)))


def test_relativistic_players_swap_roles():
    real, fake = torch.randn(50), torch.randn(50)
    one, other = relativistic_average(real, fake), relativistic_average(fake, real)
    assert one.generator == other.critic and one.critic == other.generator
    shifted = relativistic_average(real + 7, fake + 7)  # only differences count
    torch.testing.assert_close(shifted, one)


@pytest.mark.parametrize("game", GAMES)
def test_no_overflow_for_sure_critics(game):
    losses = game(torch.tensor([200.0, -200.0]), torch.tensor([-200.0, 200.0]))
    assert all(torch.isfinite(v) for v in losses)


class TwoGaussians:
    """p = N(0, 1), q = N(mean, std²), and the exact best critic."""

    def __init__(self, mean: float = 1.3, std: float = 0.6):
        self.mean = torch.tensor(mean, dtype=torch.float64, requires_grad=True)
        self.std = torch.tensor(std, dtype=torch.float64, requires_grad=True)
        self.weights = (self.mean, self.std)
        n = 400_000  # quantiles at midpoints: a quadrature whose nodes have equal weights, so that a plain mean is the expectation
        self.z = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
        self.x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)

    def log_p(self, x):
        return torch.distributions.Normal(0.0, 1.0).log_prob(x)

    def log_q(self, x):
        return torch.distributions.Normal(self.mean, self.std).log_prob(x)

    def logit(self, x):
        """log p − log q, with the weights of q fixed: a critic does not know the generator's weights."""
        fixed = torch.distributions.Normal(self.mean.detach(), self.std.detach())
        return self.log_p(x) - fixed.log_prob(x)

    def kl(self):
        return torch.distributions.kl_divergence(torch.distributions.Normal(self.mean, self.std), torch.distributions.Normal(0.0, 1.0))

    def js(self):
        log_p, log_q = self.log_p(self.x), self.log_q(self.x)
        log_m = torch.logaddexp(log_p, log_q) - math.log(2)
        return 0.5 * torch.trapezoid(log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m), self.x)

    def slope(self, game) -> torch.Tensor:
        losses = game(self.logit(self.z), self.logit(self.mean + self.std * self.z))
        return torch.stack(torch.autograd.grad(losses.generator, self.weights))

    def slope_of(self, divergence) -> torch.Tensor:
        return torch.stack(torch.autograd.grad(divergence, self.weights))


# Tolerance: the mean over midpoint quantiles is off by what is cut off in the tails, of the order of 1e-5 with 400,000 nodes.
def test_minus_mean_logit_has_the_gradient_of_kl_q_p():
    t = TwoGaussians()
    torch.testing.assert_close(t.slope(kl), t.slope_of(t.kl()), atol=2e-4, rtol=0)
    torch.testing.assert_close(t.slope_of(t.kl()), torch.tensor([1.3, 0.6 - 1 / 0.6], dtype=torch.float64))  # (mean, std − 1/std), by hand
    forward = torch.distributions.kl_divergence(torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(t.mean, t.std))
    assert (t.slope(kl) - t.slope_of(forward)).abs().max() > 0.5  # and not that of KL[p ‖ q]


def test_saturating_and_non_saturating_gradients():
    t = TwoGaussians()
    torch.testing.assert_close(t.slope(saturating), t.slope_of(2 * t.js()), atol=2e-4, rtol=0)
    torch.testing.assert_close(t.slope(non_saturating), t.slope_of(t.kl() - 2 * t.js()), atol=2e-4, rtol=0)


@pytest.mark.parametrize("game", GAMES)
def test_every_generator_walks_towards_the_data(game):
    for mean in (-1.3, 1.3):
        assert TwoGaussians(mean).slope(game)[0] * mean > 0


def test_the_best_critic_is_the_log_ratio():
    """The critic's loss is stationary at log p/q, with its least value 2 log 2 − 2 JS."""
    t = TwoGaussians()
    real, fake = (t.logit(x.detach()).requires_grad_() for x in (t.z, t.mean + t.std * t.z))
    at = saturating(real, fake).critic
    assert at.item() == pytest.approx(2 * math.log(2) - 2 * t.js().item(), abs=1e-4)
    for change in (torch.sin, torch.cos, torch.tanh):  # any change of the logit makes it worse
        for size in (-0.1, 0.1):
            other = saturating(real + size * change(t.z), fake + size * change((t.mean + t.std * t.z).detach())).critic
            assert other > at


def test_a_sure_critic_starves_the_saturating_generator_only():
    fake = torch.full((4,), -20.0, requires_grad=True)
    slopes = [torch.autograd.grad(game(torch.full((4,), 20.0), fake).generator, fake)[0].abs().sum().item() for game in STANDARD]
    assert slopes[0] < 1e-8 and slopes[1] == pytest.approx(1) and slopes[2] == pytest.approx(1)


# ---- the noise -----------------------------------------------------------------------------------------------------------------------


def test_instance_noise_variance():
    x = torch.linspace(-1, 1, 200_000)
    noise = instance_noise(x, 0.3) - x
    assert abs(noise.mean()) < 0.004 and noise.var().item() == pytest.approx(0.09, rel=0.02)  # 5 standard errors
    assert abs((noise * x).mean()) < 0.003
    assert torch.equal(instance_noise(x, 0), x)


class Spy(nn.Module):
    """Keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.weight * x


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("player", ["critic_loss", "generator_loss"])
def test_data_and_samples_are_noisy_in_both_steps(game, player):
    class Constant(nn.Linear):
        def forward(self, z):
            return 0 * super().forward(z) + 5

    model = GAN(Constant(1, 1), Spy(), 1, losses=game, sigma=0.4)
    getattr(model, player)(torch.full((40_000, 1), -5.0))
    assert sorted(round(x.mean().item()) for x in model.critic.seen) == [-5, 5]
    for x in model.critic.seen:
        assert x.var().item() == pytest.approx(0.16, rel=0.05)
    assert not torch.equal(model.critic.seen[0] + 5, model.critic.seen[1] - 5)  # two draws, not one


def test_annealing():
    schedule = anneal(2.0, 10, 0.5)
    assert [schedule(i) for i in (0, 5, 10, 99)] == [2.0, 1.25, 0.5, 0.5]
    seen = []
    model = GAN(nn.Linear(1, 1), Spy(), 1, sigma=lambda step: seen.append(step) or 0.0)
    fit_gan(model, Numbers(), steps=3, lr=1e-3, critic_steps=2, progress=False)
    assert seen == [0] * 6 + [1] * 6 + [2] * 6  # two sides, two critic steps and one of the generator at each level
    model.generator_loss(torch.zeros(2, 1))
    assert model.step == 3  # after training, looking at a loss counts nothing


# ---- who moves -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", GAMES)
def test_each_loss_moves_its_own_player_only(game):
    model, x = new_gan(losses=game, sigma=0.1), torch.randn(8, 1)
    model.critic_loss(x).backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad.abs().max() > 0 for p in list(model.critic.parameters())[:-1])  # the last bias cancels in the relativistic game
    model.zero_grad()
    model.generator_loss(x).backward()
    assert all(p.grad is None for p in model.critic.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.generator.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_a_frozen_weight_stays_frozen():
    model = new_gan()
    model.critic[0].requires_grad_(False)
    model.generator_loss(torch.randn(8, 1))
    assert not model.critic[0].weight.requires_grad and model.critic[2].weight.requires_grad


@pytest.mark.parametrize("still", ["generator", "critic"])
def test_optimisers_of_one_player_leave_the_other(still):
    model = new_gan(losses=relativistic_average)
    adams = {p: torch.optim.Adam([{"params": list(model.get_submodule(p).parameters()), "lr_scale": float(p != still)}]) for p in ("generator", "critic")}
    before = {k: v.clone() for k, v in model.named_parameters()}
    fit_gan(model, Numbers(), steps=3, lr=0.01, optimizer=(adams["generator"], adams["critic"]), progress=False)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith(still)


def test_step_by_hand():
    """Two critic steps on two batches, then the generator on the last of them; with plain gradient descent."""
    g = torch.Generator().manual_seed(1)
    data = [torch.randn(4, 1, generator=g) for _ in range(2)]
    model, twin = new_gan(losses=relativistic_average), new_gan(losses=relativistic_average)
    adams = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model.generator, model.critic)]
    torch.manual_seed(7)
    history = fit_gan(model, data, steps=1, lr=0.1, critic_steps=2, optimizer=(adams[0], adams[1]), progress=False)
    torch.manual_seed(7)

    def descend(loss, player):
        weights = list(player.parameters())
        for p, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            p.data -= 0.1 * slope
        return loss.item()

    losses = [descend(twin.critic_loss(x), twin.critic) for x in data]
    made = descend(twin.generator_loss(data[1]), twin.generator)
    assert history.losses == [pytest.approx(made)] and history.critic_losses == [pytest.approx(losses[1])]
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


# ---- learning ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", GAMES)
def test_learns_a_gaussian(game):
    """x = a z + b, from N(0, 1)-like starts to N(2, 0.5²): the KL is known in closed form, 10 nats at first and under 0.05 at the end."""
    model, target = new_gan(losses=game, sigma=anneal(0.5, 800)), torch.distributions.Normal(2.0, 0.5)

    def distance(m):
        made = torch.distributions.Normal(m.generator.bias.item(), abs(m.generator.weight.item()))
        return torch.distributions.kl_divergence(made, target).item()

    before = distance(model)
    history = fit_gan(model, Numbers(4096, 128), steps=1200, lr=cosine(0.005, 1200), average=0.98, progress=False)
    assert before > 3 and distance(history.average) < 0.05
    assert len(history.losses) == len(history.critic_losses) == 1200 and not model.training
    assert model.sample(9).shape == (9, 1) and not model.sample(9).requires_grad


# ---- stopping and going on -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 4, 13])  # within and after the first pass over the data (8 batches, two a step)
def test_resume_is_bit_for_bit(tmp_path, stop):
    keywords = {"lr": cosine(0.01, 20), "critic_steps": 2, "average": 0.9, "progress": False}

    def new():
        return new_gan(losses=relativistic_average, sigma=anneal(0.5, 15))

    whole = new()
    a = fit_gan(whole, Numbers(), steps=20, **keywords)
    fit_gan(new(), Numbers(), steps=stop, checkpoint=tmp_path / "c.pt", **keywords)
    again = new()
    torch.manual_seed(999)  # whatever happens between two sittings
    b = fit_gan(again, Numbers(), steps=20, checkpoint=tmp_path / "c.pt", **keywords)
    assert a.losses == b.losses and a.critic_losses == b.critic_losses and len(b.losses) == 20
    assert same(whole, again) and same(a.average, b.average)


def test_interrupt_saves_and_resumes(tmp_path):
    """A real Ctrl-C in a real process, then the same command again equals a run that was never stopped."""
    script = textwrap.dedent(
        """
        import sys, time, torch
        sys.path.insert(0, sys.argv[3])
        from tests.models.test_gan import Numbers, new_gan
        from gensr.train import fit_gan
        torch.set_num_threads(1)
        model, slow = new_gan(sigma=0.1), sys.argv[2] == "slow"
        def callback(now):
            if slow:
                print(now["step"], flush=True)
                time.sleep(0.05)
        h = fit_gan(model, Numbers(), steps=60, lr=0.01, critic_steps=2, checkpoint=sys.argv[1], progress=False, callback=callback, save_every=1e9)
        print("weights", [p.tolist() for p in model.parameters()], len(h.losses), flush=True)
        """
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    process = subprocess.Popen([*command, str(tmp_path / "c.pt"), "slow", root], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    while process.stdout.readline().strip() != "10":
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in stderr
    saved = torch.load(tmp_path / "c.pt", weights_only=True)
    assert 10 <= len(saved["losses"]) == len(saved["critic_losses"]) < 60

    def finish(path):
        return subprocess.run([*command, str(path), "fast", root], capture_output=True, text=True, check=True, env=env).stdout

    assert finish(tmp_path / "c.pt") == finish(tmp_path / "never.pt")


def test_callback_sees_both_losses_and_can_stop():
    seen = []
    history = fit_gan(new_gan(), Numbers(), steps=100, lr=0.01, progress=False, callback=lambda now: seen.append(now) or now["step"] == 4)
    assert history.steps == 4 and [now["critic_loss"] for now in seen] == history.critic_losses


def test_checkpoint_of_one_player_is_refused(tmp_path):
    class Alone(GAN):
        def loss(self, x):
            return self.generator_loss(x)

    fit(Alone(nn.Linear(1, 1), MLP(1, 4, 1), 1), Numbers(), steps=1, lr=0.1, checkpoint=tmp_path / "c.pt", progress=False)
    with pytest.raises(ValueError, match="checkpoint: .* is damaged or of another model"):
        fit_gan(GAN(nn.Linear(1, 1), MLP(1, 4, 1), 1), Numbers(), steps=1, lr=0.1, checkpoint=tmp_path / "c.pt", progress=False)


def test_accelerate_gives_the_same_weights(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    plain, other = new_gan(), new_gan()
    torch.manual_seed(1)
    fit_gan(plain, Numbers(), steps=5, lr=0.01, progress=False)
    torch.manual_seed(1)
    fit_gan(other, Numbers(), steps=5, lr=0.01, progress=False, accelerator=accelerate.Accelerator(cpu=True), checkpoint=tmp_path / "c.pt")
    assert same(plain, other) and (tmp_path / "c.pt").exists()


def test_bad_arguments():
    with pytest.raises(ValueError, match="sigma"):
        instance_noise(torch.zeros(2), -0.1)
    with pytest.raises(ValueError, match="sigma"):
        new_gan(sigma=-1.0)
    with pytest.raises(ValueError, match="latent"):
        GAN(nn.Linear(1, 1), nn.Linear(1, 1), 0)
    with pytest.raises(ValueError, match="end"):
        anneal(1.0, 10, -0.5)
    with pytest.raises(ValueError, match="steps"):
        anneal(1.0, 0)
    for name in ("steps", "critic_steps"):
        with pytest.raises(ValueError, match=f"^{name}: expected at least 1"):
            fit_gan(new_gan(), Numbers(), **{"steps": 1, "critic_steps": 1, name: 0}, lr=0.1)
    with pytest.raises(ValueError, match="batches: gave nothing"):
        fit_gan(new_gan(), [], steps=1, lr=0.1, progress=False)
    with pytest.raises(ValueError, match="critic_loss: became nan at step 0"):
        fit_gan(new_gan(), [torch.full((2, 1), float("nan"))], steps=1, lr=0.1, progress=False)


def test_noise_that_is_no_number_is_refused():
    nan = float("nan")
    calls = [lambda: instance_noise(torch.ones(1), nan), lambda: anneal(nan, 9), lambda: anneal(math.inf, 9), lambda: GAN(MLP(1, 2), MLP(2, 1), 1, sigma=nan)]
    for call in calls:
        with pytest.raises(ValueError, match="sigma: expected at least 0"):
            call()
    with pytest.raises(ValueError, match="end: expected at least 0, got nan"):
        anneal(1.0, 10, nan)


def test_checkpoints_are_written_while_two_players_train(tmp_path):
    seen = []
    model = GAN(MLP(1, 1), MLP(1, 1), 1)
    fit_gan(
        model, [torch.zeros(2, 1)], steps=3, lr=0.1, progress=False, checkpoint=tmp_path / "c.pt", save_every=-1,
        callback=lambda now: seen.append((tmp_path / "c.pt").exists()),
    )
    assert seen == [False, True, True]
