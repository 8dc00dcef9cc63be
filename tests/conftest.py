"""What every test shares: shapes checked against the signatures, fixed seeds that are put back, and the offline data folder."""

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from tests import signatures  # noqa: F401  (the hook below looks it up by name)

# In tests, every call of the library is checked against its jaxtyping signature; at run time nothing is, so there the library's own errors must speak.
jaxtyping.install_import_hook("gensr", "tests.signatures.check")
_raises = pytest.raises

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def raises_as_users_see_it(*arguments, **keywords):
    """pytest.raises with the signature checks off: what is tested is the error a user gets."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with _raises(*arguments, **keywords) as info:
            yield info
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


pytest.raises = raises_as_users_see_it


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Each test starts from seed 0 and leaves the global random state and default dtype as it found them."""
    python, numpy, cpu, dtype = random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_default_dtype()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder named by GENSR_DATA; the test is skipped, and says so, where there is none."""
    folder = os.environ.get("GENSR_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GENSR_DATA is not set: this test needs the offline data folder")
    return Path(folder)
