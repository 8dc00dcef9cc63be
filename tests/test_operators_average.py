"""The average of a few numbers, against its matrix; and what every operator can do, on points in place of images."""

import pytest
import torch

from gensr.operators import Average, least_squares

NUMBERS = pytest.mark.parametrize("n", [1, 2, 5])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@NUMBERS
def test_forward_adjoint_and_pinv_are_those_of_the_matrix(n):
    A, matrix = Average(n), torch.full((1, n), 1 / n, dtype=torch.float64)
    x, y = random(4, n), random(4, 1, seed=1)
    torch.testing.assert_close(A(x), x @ matrix.T)
    torch.testing.assert_close(A.adjoint(y), y @ matrix)
    torch.testing.assert_close(A.pinv(y), y @ torch.linalg.pinv(matrix).T)
    torch.testing.assert_close((A(x) * y).sum(1), (x * A.adjoint(y)).sum(1))


def test_in_the_plane_by_hand():
    x, y = torch.tensor([[1.0, 5.0]]), torch.tensor([[2.0]])
    A = Average()
    assert A(x).tolist() == [[3.0]] and A.adjoint(y).tolist() == [[1.0, 1.0]] and A.pinv(y).tolist() == [[2.0, 2.0]]
    assert A.project(x, y).tolist() == [[0.0, 4.0]]  # straight down the diagonal, onto x₁ + x₂ = 4


@NUMBERS
def test_projection_explains_y_and_is_the_nearest_point_that_does(n):
    A, x, truth = Average(n), random(6, n), random(6, n, seed=1)
    y = A(truth)
    p = A.project(x, y)
    torch.testing.assert_close(A(p), y)
    torch.testing.assert_close(A.project(p, y), p)
    torch.testing.assert_close(((p - x) * (truth - p)).sum(1), torch.zeros(6, dtype=torch.float64))  # Pythagoras


@NUMBERS
def test_conjugate_gradients_work_on_points_too(n):
    A, y = Average(n), random(3, 1)
    torch.testing.assert_close(least_squares(A, y), A.pinv(y))
    ridge = y @ torch.linalg.solve(torch.full((n, n), 1 / n**2, dtype=torch.float64) + 0.3 * torch.eye(n), torch.full((n, 1), 1 / n, dtype=torch.float64)).T
    torch.testing.assert_close(least_squares(A, y, 0.3), ridge)


def test_keeps_the_dtype_and_passes_gradients():
    A = Average()
    for dtype in (torch.float32, torch.float64):
        x = random(3, 2).to(dtype)
        assert A(x).dtype == A.pinv(A(x)).dtype == A.adjoint(A(x)).dtype == A.project(x, A(x)).dtype == dtype
    assert torch.autograd.gradcheck(lambda x, y: A.project(x, y), (random(2, 2).requires_grad_(), random(2, 1).requires_grad_()))


@pytest.mark.parametrize("call, message", [
    (lambda: Average(0), "n: "), (lambda: Average()(torch.zeros(3, 3)), r"x: expected shape \(b, 2\)"), (lambda: Average()(torch.zeros(2)), "x: "),
    (lambda: Average()(torch.zeros(3, 2, 4)), "x: "),
    (lambda: Average().pinv(torch.zeros(3, 2)), r"y: expected shape \(b, 1\)"), (lambda: Average().adjoint(torch.zeros(3)), "y: "),
    (lambda: Average().project(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1)), "x: "),
])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_are_no_points_and_half_a_number_is_no_count():
    for call, name in ((Average(), "x"), (Average().pinv, "y"), (Average().adjoint, "y")):
        with pytest.raises(TypeError, match=f"{name}: expected a float tensor, got torch.int64"):
            call(torch.ones(3, 2 if name == "x" else 1).long())
    with pytest.raises(ValueError, match="n: expected a whole number of at least 1, got 2.5"):
        Average(2.5)
