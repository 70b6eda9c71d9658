"""Finite differences against hj_reachability in one process: CPU seconds on one core, interleaved, and the values.

The same family of scheme, the same nodes, precision and step rule (`cases.py`); pin it to one core (`taskset -c 0`).
Prints the ratio of the peer's seconds to ours, ours in million cell-stages a second, the largest difference of the two
solutions, and the fraction of nodes on which their zero sets differ. Without the peer (`pip install hjsolve[bench]`)
only our numbers are printed. `--smoke` runs small grids once.
"""

import argparse
import time

import cases
import jax
import numpy as np

import hjsolve as hj

STAGES = {"very_high": 3, "low": 1}


def peer_module():
    try:
        import hj_reachability
    except ImportError:
        print("hj_reachability is missing: `pip install 'hjsolve[bench]'` for the ratios")
        return None
    return hj_reachability


def seconds_of(call):
    began = time.process_time()
    result = call()
    jax.block_until_ready(result)
    return time.process_time() - began, result


def compare(name, case, accuracy, peer, repeats):
    method = cases.ours(case, accuracy)

    def run():
        return hj.solve(case.problem, method, [case.time]).u

    calls = [run] if peer is None else [run, cases.peers(case, accuracy, peer)]
    first = [seconds_of(call)[0] for call in calls]
    measured = [[seconds_of(call) for call in calls] for _ in range(repeats)]
    ours, *theirs = (min(row[k][0] for row in measured) for k in range(len(calls)))
    steps = int(hj.solve(case.problem, method, [case.time]).stats["steps"])
    u = np.asarray(measured[-1][0][1][0])
    rate = STAGES[accuracy] * steps * u.size / ours / 1e6
    line = f"| {name} | {accuracy} | {steps} | {ours:.3f} | {rate:.0f} | {max(first[0] - ours, 0):.1f} |"
    if theirs:
        other = np.asarray(measured[-1][1][1]).reshape(-1)
        apart = np.mean((u < 0) != (other < 0))
        line += f" {theirs[0]:.2f} | {theirs[0] / ours:.1f} | {np.abs(u - other).max():.1e} | {apart:.1e} |"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small grids, once")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", help="cases whose name contains this")
    arguments = parser.parse_args()
    peer = None if arguments.smoke else peer_module()
    print("| case | accuracy | steps | seconds | Mcs/s | compile | hj_reachability | ratio | difference | zero set |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    small = [("|p|²", cases.squared_slope(20), ("very_high", "low")), ("|p|", cases.slope(20), ("low",))]
    full = [
        ("Air3D 51x40x50", cases.air3d(), ("very_high", "low")),
        ("|p|² 401²", cases.squared_slope(), ("very_high", "low")),
        ("|p| 401²", cases.slope(), ("very_high", "low")),
        ("4-D car 40²x50²", cases.car(0.5), ("low",)),
        ("4-D car 40²x50²", cases.car(0.2), ("very_high",)),
    ]
    for name, case, accuracies in small if arguments.smoke else full:
        for accuracy in accuracies:
            if arguments.only is None or arguments.only in name:
                compare(name, case, accuracy, peer, arguments.repeats)


if __name__ == "__main__":
    main()
