"""The peers of the log-sum-exp benchmark. Each takes the arrays of a case and returns its timed functions.

"forward" computes log Σ_j exp(b_j − κ|x_i − y_j|²) `[m]`; "gradient" adds the mean atom ȳ, "vjp" gives the derivatives
of the sum in x, y and b. float32, one thread.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# read by the libraries below when they load
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

REMEDY = "pip install 'hjsolve[bench]'"


class MissingPeerError(Exception):
    """A peer that is not here, and what to do about it."""


def numpy_chunked(x, y, b, kappa, chunk=256):
    squares = (y * y).sum(1)

    def blocks():
        for start in range(0, len(x), chunk):
            q = x[start : start + chunk]
            scores = (b - kappa * squares) + (2 * kappa * q) @ y.T
            top = scores.max(1, keepdims=True)
            scores -= top
            np.exp(scores, out=scores)
            yield slice(start, start + chunk), q, top[:, 0], scores

    def forward():
        result = np.empty(len(x), x.dtype)
        for rows, q, top, w in blocks():
            result[rows] = top + np.log(w.sum(1)) - kappa * (q * q).sum(1)
        return result

    def gradient():
        result, mean = np.empty(len(x), x.dtype), np.empty_like(x)
        for rows, q, top, w in blocks():
            total = w.sum(1)
            result[rows] = top + np.log(total) - kappa * (q * q).sum(1)
            mean[rows] = (w @ y) / total[:, None]
        return result, mean

    def vjp():
        dx, dy, db = np.empty_like(x), np.zeros_like(y), np.zeros_like(b)
        for rows, q, _, w in blocks():
            w /= w.sum(1, keepdims=True)
            dx[rows] = -2 * kappa * (q - w @ y)
            db += w.sum(0)
            dy += 2 * kappa * (w.T @ q)
        return dx, dy - 2 * kappa * db[:, None] * y, db

    return {"forward": forward, "gradient": gradient, "vjp": vjp}


def flash_attention(x, y, b, kappa):
    try:
        import torch
    except ImportError as error:
        raise MissingPeerError(f"PyTorch is not installed: {REMEDY}") from error
    torch.set_num_threads(1)
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    m, n = len(x), len(y)
    squares = torch.from_numpy(kappa * (x * x).sum(1))
    query = torch.from_numpy(np.concatenate([2 * kappa * x, np.ones((m, 1), x.dtype)], 1))[None, None]
    key = torch.from_numpy(np.concatenate([y, (b - kappa * (y * y).sum(1))[:, None]], 1))[None, None]
    value = torch.from_numpy(np.concatenate([y, np.zeros((n, 1), y.dtype)], 1))[None, None]

    def gradient():
        mean, lse = attend(query, key, value, 0.0, False, scale=1.0)[:2]
        return (lse.reshape(m) - squares).numpy(), mean[0, 0, :, :-1].numpy()

    # one call gives both: its forward pass always averages the values
    return {"forward": lambda: gradient()[0], "gradient": gradient}


def keops(x, y, b, kappa):
    try:
        import torch
        from pykeops.torch import LazyTensor
    except ImportError as error:
        raise MissingPeerError(f"pykeops is not installed: {REMEDY}") from error
    torch.set_num_threads(1)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, y, b)]

    def lse():
        xs, ys = LazyTensor(tensors[0][:, None, :]), LazyTensor(tensors[1][None, :, :])
        bs = LazyTensor(tensors[2][None, :, None])
        return (bs - float(kappa) * ((xs - ys) ** 2).sum(-1)).logsumexp(dim=1)[:, 0]

    def vjp():
        return [a.numpy() for a in torch.autograd.grad(lse().sum(), tensors)]

    def forward():
        with torch.no_grad():
            return lse().numpy()

    return {"forward": forward, "vjp": vjp}


def floor(x, y, b, kappa):
    compiler = shutil.which("g++")
    if compiler is None:
        raise MissingPeerError("g++ is not on the PATH: install a C++ compiler")
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "avx512f" not in cpuinfo.read_text():
        raise MissingPeerError("this CPU has no AVX-512")
    if x.shape[1] != 3:
        raise MissingPeerError("the hand-written kernel is for d = 3")
    source = Path(__file__).with_name("_lse_floor.cpp")
    library = Path(tempfile.mkdtemp()) / "floor.so"
    options = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, str(source), "-o", str(library)], check=True)
    functions = ctypes.CDLL(str(library))
    log2e = np.float32(np.log2(np.e))
    scale = np.sqrt(kappa * log2e)
    m, n = -(-len(x) // 32) * 32, len(y)
    xs = np.ascontiguousarray(np.pad(x * scale, ((0, m - len(x)), (0, 0)), mode="edge").T)
    ys, bs = np.ascontiguousarray((y * scale).T), b * log2e
    top, sums = np.empty(m, np.float32), np.empty((4, m), np.float32)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (xs, ys, bs)]
    outputs = [a.ctypes.data_as(ctypes.c_void_p) for a in (top, sums)]

    def call(function):
        function(*pointers, ctypes.c_long(m), ctypes.c_long(n), *outputs)
        return ((top + np.log2(sums[0])) / log2e)[: len(x)]

    return {
        "forward": lambda: call(functions.forward3),
        "gradient": lambda: (call(functions.gradient3), (sums[1:] / sums[0] / scale).T[: len(x)]),
    }


PEERS = {
    "NumPy, chunked": numpy_chunked,
    "PyTorch flash attention": flash_attention,
    "pykeops": keops,
    "C++ AVX-512": floor,
}


def one_core():
    """Pin the process to one core, for comparable CPU seconds; before any thread pool exists."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
