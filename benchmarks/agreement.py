"""Value functions of control problems and games beside those of hj_reachability, on grids that are refined.

Both codes solve with WENO5 and SSP-RK3, the peer with global Lax-Friedrichs ("very_high"), ours with its defaults.
Printed are mean differences on the nodes of the coarser grid: of each code between one grid and the next, which is its
discretisation error, and between the codes on the same grid, which should fall with them; and on which share of the
nodes the zero sets differ. Without the peer (`pip install hjsolve[bench]`) only our own differences are printed.
`--smoke` takes small grids and no peer.
"""

import argparse
import time

import cases
import numpy as np
from grid import peer_module

import hjsolve as hj


def nodes_of(case):
    periodic = case.problem.domain.periodic
    return tuple(n if flag else n + 1 for n, flag in zip(case.cells, periodic, strict=True))


def solved(case, peer):
    method = hj.methods.grid.FiniteDifference(case.cells)
    ours = np.asarray(hj.solve(case.problem, method, [case.time]).u[0]).reshape(nodes_of(case))
    return [ours] if peer is None else [ours, np.asarray(cases.peers(case, "very_high", peer)())]


def compare(name, build, sizes, peer):
    coarser = None
    for size in sizes:
        began = time.perf_counter()
        fields = solved(build(size), peer)
        own, apart = ["", ""], ["", ""]
        if coarser is not None:
            every = (slice(None, None, 2),) * fields[0].ndim
            own[: len(fields)] = [f"{np.abs(u[every] - v).mean():.1e}" for u, v in zip(fields, coarser, strict=True)]
        if peer is not None:
            ours, theirs = fields
            apart = [f"{np.abs(ours - theirs).mean():.1e}", f"{np.mean((ours < 0) != (theirs < 0)):.1e}"]
        print("|", " | ".join([name, str(size), *own, *apart, f"{time.perf_counter() - began:.0f} s"]), "|", flush=True)
        coarser = fields


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small grids, without the peer")
    parser.add_argument("--only", help="cases whose name contains this")
    arguments = parser.parse_args()
    peer = None if arguments.smoke else peer_module()
    print("| case | size | ours, to the last grid | theirs | ours - theirs | zero sets | time |")
    print("|---|---|---|---|---|---|---|")
    small = [("double integrator", cases.double_integrator, (16, 32))]
    full = [
        ("double integrator", cases.double_integrator, (50, 100, 200, 400)),
        ("Dubins", cases.dubins, (20, 40, 80)),
        ("Air3D", cases.air3d, (1, 2)),
    ]
    for name, build, sizes in small if arguments.smoke else full:
        if arguments.only is None or arguments.only in name:
            compare(name, build, sizes, peer)


if __name__ == "__main__":
    main()
