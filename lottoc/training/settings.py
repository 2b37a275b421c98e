"""Threads, determinism and random numbers during a computation, put back as they were after it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """A fixed number of threads and deterministic algorithms, whatever surrounds the call.

    The global random numbers of torch go on afterwards as if nothing had happened.
    """
    before = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # filling every new tensor with NaN would cost time and finds only faults of torch itself
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch, numpy and Python that depend on `seed` alone."""
    python, numpy = random.getstate(), np.random.get_state()
    own = seed if 0 <= seed < 1 << 32 else mixed_seed(seed)
    try:
        with fixed_threads(1):
            torch.manual_seed(own)
            np.random.seed(own)
            random.seed(own)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def mixed_seed(*parts: int) -> int:
    """32 bits that depend on every part: torch's CPU generator ignores the others of its seed."""
    text = " ".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")
