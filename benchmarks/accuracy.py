"""Errors of grid solvers and of hj_reachability on kinked solutions that are known exactly, float32 as the peer has it.

`|p|²` from two parabolas (a kink that stays) and from a cone (a kink that opens to a fan), and `|p|` from two cones
(discs that meet). Ours is WENO5 with Godunov's flux, the peer its "very_high". Printed are mean and largest error on
the nodes. Without the peer (`pip install hjsolve[bench]`) only ours are printed; `--smoke` takes small grids and no
peer.
"""

import argparse

import cases
import jax
import jax.numpy as jnp
import numpy as np
from grid import peer_module

import hjsolve as hj

grid = hj.methods.grid


def nodes(case):
    domain = case.problem.domain
    axes = [np.linspace(a, b, n + 1) for a, b, n in zip(domain.lower, domain.upper, case.cells, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def parabolas(x):
    """min_k |x − a_k|² / (2 + 4t) at t = 1."""
    return np.minimum(*(np.sum((x - a) ** 2, axis=-1) for a in cases.CENTRES)) / 6


def fan(x):
    """|x| − t − ½ outside of |x| = 2t and |x|²/4t − ½ within, at t = 1."""
    r = np.linalg.norm(x, axis=-1)
    return np.where(r > 2, r - 1.5, r**2 / 4 - 0.5)


def discs(x):
    return np.asarray(jax.vmap(lambda y: cases.DISCS(1.0, y))(jnp.asarray(x.reshape(-1, 2)))).reshape(x.shape[:-1])


CASES = {
    "squared slope: two parabolas": (cases.parabolas, parabolas),
    "squared slope: fan of a cone": (cases.squared_slope, fan),
    "slope: two cones": (cases.slope, discs),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small grids, without the peer")
    arguments = parser.parse_args()
    peer = None if arguments.smoke else peer_module()
    print("| case | nodes | ours, mean | largest | hj_reachability, mean | largest |")
    print("|---|---|---|---|---|---|")
    for name, (build, exact) in CASES.items():
        for cells in (20,) if arguments.smoke else (100, 200, 400):
            case = build(cells)
            method = grid.FiniteDifference(case.cells, derivative=grid.derivatives.WENO5(), flux=grid.fluxes.Godunov())
            truth = exact(nodes(case))
            found = [np.asarray(hj.solve(case.problem, method, [case.time]).u[0]).reshape(truth.shape)]
            if peer is not None:
                found.append(np.asarray(cases.peers(case, "very_high", peer)()))
            errors = (f"{f(np.abs(u - truth)):.1e}" for u in found for f in (np.mean, np.max))
            print("|", " | ".join([name, f"{cells + 1}²", *errors]), "|", flush=True)


if __name__ == "__main__":
    main()
