#!/usr/bin/env python3
"""Accuracy and time of random features against their number M, with the program ntk, beside the exact kernel.

Every case is a network and data; every method and M of it is one `ntk eval` into a temporary folder. What was measured
goes into the JSON file at once, and what is there already, of whatever commit, is not measured again: a long run can be
stopped and split.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FASHION = ("fashion-mnist:train", "fashion-mnist:test")
SMALL = ("fashion-mnist:train~2000", "fashion-mnist:test")
CONV = "conv3 relu avgpool2 conv3 relu avgpool2 conv3 relu"
STAGES = ("draw", "input", "products", "units", "sketches", "sums")

# name: network, (train, test), [(method, dims)]; exact: where the matrix is affordable
CASES = {
    "dense": ("3*(dense relu) dense", FASHION, [("rf", (1024, 2048, 4096, 8192))]),
    "flatten": (f"{CONV} flatten", SMALL,
                [("exact", (0,)), ("rf", (1024, 2048, 4096)), ("sketch", (1024, 2048, 4096, 8192))]),
    "cifar": (f"{CONV} flatten", None,
              [("exact", (0,)), ("rf", (1024, 2048, 4096)), ("sketch", (1024, 2048, 4096, 8192))]),
    "gap": (f"{CONV} gap", FASHION, [("rf", (512, 1024, 2048)), ("sketch", (512, 1024))]),
}
# Where the exact kernel stands beside them, features of up to so many columns are those of so many seeds.
SEEDS = {"flatten": (2048, 4), "cifar": (2048, 4)}
QUICK = {"quick": ("conv3 relu avgpool2 conv3 relu flatten", None,
                   [("exact", (0,)), ("rf", (64, 128)), ("sketch", (64,))])}


def fail(sentence):
    print(f"features.py: {sentence}", file=sys.stderr)
    sys.exit(1)


def read_results(path, head):
    """What an earlier run wrote; a new object if there is none."""
    if not path.exists():
        return dict(head, accuracy=[])
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        fail(f"{path} is not JSON ({error}): remove it")
    if results.get("format") != head["format"]:
        fail(f"{path} is no result of features.py: name another file")
    return results


def write_results(path, results):
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def find(results, name, method, dim, seed):
    for entry in results["accuracy"]:
        if (entry["case"], entry["method"], entry["dim"], entry["seed"]) == (name, method, dim, seed):
            return entry
    return None


def write_npy(path, code, shape, values):
    head = f"{{'descr': '<{code}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    kind = {"f4": "f", "i4": "i"}[code]
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() +
                     struct.pack(f"<{len(values)}{kind}", *values))


def quick_data(folder):
    """Images of 8x8 in two classes, brighter above or below, with noise."""
    source = random.Random(1)
    specs = []
    for part, count in (("train", 60), ("test", 40)):
        labels = [k % 2 for k in range(count)]
        values = [(1.0 if (row < 4) == (label == 0) else 0.0) + source.gauss(0, 1)
                  for label in labels for row in range(8) for _ in range(8)]
        write_npy(folder / f"{part}.npy", "f4", (count, 1, 8, 8), values)
        write_npy(folder / f"{part}-labels.npy", "i4", (count,), labels)
        specs.append(f"npy:{folder / (part + '.npy')}:{folder / (part + '-labels.npy')}")
    return specs


def run_ntk(options, method, dim, seed, network, data, folder):
    command = [options.ntk, "eval", "--json", "--progress", "none", "--method", method, "--net", network,
               "--train", data[0], "--test", data[1], "--out", str(folder), "--device", "cpu"]
    if method != "exact":
        command += ["--dim", str(dim), "--seed", str(seed)]
    if options.threads:
        command += ["--threads", str(options.threads)]
    if options.memory:
        command += ["--memory", options.memory]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(command)} ended with code {done.returncode}")
    return json.loads(done.stdout)


def entry_of(name, method, dim, seed, options, report):
    """What is kept of a report of `ntk eval`. Seconds of stages are summed over threads."""
    data = {"quick": "quick", "cifar": "cifar10:DIR:train~2000"}.get(name) or CASES[name][1][0]  # no paths of this machine
    entry = {"case": name, "network": report["network"], "method": method, "dim": report.get("dim", 0),
             "seed": seed, "commit": options.commit, "version": report["version"],
             "train": data, "train_count": report["train"]["count"],
             "test_count": report["test"]["count"], "accuracy": report["accuracy"],
             "mean_squared_error": report["mean_squared_error"], "ridge": report["ridge"],
             "solver": report["solver"], "seconds": report["seconds"], "preprocess": report["preprocess"].split()[0]}
    if method == "exact":
        times = report["timings"]
        entry.update(compute_seconds=times["train_kernel"] + times["test_kernel"], pairs=report["pairs"],
                     regression_seconds=times["regression"], chosen_by_accuracy=report["loo_accuracy"])
    else:
        train, test = report["train_features"], report["test_features"]
        entry.update(compute_seconds=train["seconds"] + test["seconds"],
                     regression_seconds=report["regression_seconds"], regression_stages=report["timings"],
                     sketch_dim=report["sketch_dim"],
                     chosen_by_accuracy=report["held_out_accuracy"],
                     thread_seconds={stage: train["thread_seconds_" + stage] + test["thread_seconds_" + stage]
                                     for stage in STAGES})
    if entry["dim"] != dim:
        fail(f"{name}: {entry['dim']} features were made instead of {dim}: choose dims that the network can have")
    return entry


def bytes_needed(method, dim, counts):
    train, test = counts
    return 4 * (train + test) * (train if method == "exact" else dim)


def check_space(folder, case, method, dim):
    """Roughly: 60,000 and 10,000 records for whole sets, less for the others."""
    counts = (60000, 10000) if CASES.get(case, (0, 0))[1] == FASHION else (2000, 10000)
    needed = bytes_needed(method, dim, counts) + (1 << 28)
    if case != "quick" and shutil.disk_usage(folder).free < needed:
        fail(f"{folder} has no room for {needed >> 20} MiB of features: name another folder with --scratch")


def seeds_of(options, name, method, dim):
    if method == "exact":
        return [0]
    most, count = SEEDS.get(name, (0, 1))
    return range(options.seed, options.seed + (count if dim <= most else 1))


def measure(options, results, name, case, scratch):
    network, data, methods = case
    if name == "quick":
        data = quick_data(scratch)
    elif name == "cifar":
        data = (f"cifar10:{options.cifar}:train~2000", f"cifar10:{options.cifar}:test")
    for method, dims in methods:
        if options.method and method not in options.method:
            continue
        for dim in dims:
            if options.most and dim > options.most:
                continue
            for seed in seeds_of(options, name, method, dim):
                known = find(results, name, method, dim, seed)
                if known:
                    print(f"{name} {method} {dim or ''} seed {seed}: there already, of commit {known['commit']}", file=sys.stderr)
                    continue
                check_space(scratch, name, method, dim)
                print(f"{name} {method} {dim or ''} seed {seed}: measuring", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    report = run_ntk(options, method, dim, seed, network, data, pathlib.Path(folder) / "out")
                results["accuracy"].append(entry_of(name, method, dim, seed, options, report))
                write_results(options.json, results)


def clock(seconds):
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.1f} min"


def markdown(entries):
    """One table a case: the exact kernel first, then features by method and M."""
    order = {"exact": 0, "rf": 1, "sketch": 2}
    lines = []
    for name in dict.fromkeys(entry["case"] for entry in entries):
        chosen = [entry for entry in entries if entry["case"] == name]
        first = chosen[0]
        lines += [f"`{first['network']}`, {first['train_count']:,} training and {first['test_count']:,} test records "
                  f"of {first['train'].split(':')[0]}:", "",
                  "| method | M | accuracy | MSE | features or kernel | regression | in all |",
                  "| --- | --- | --- | --- | --- | --- | --- |"]
        for entry in sorted(chosen, key=lambda e: (order[e["method"]], e["dim"], e["seed"])):
            lines.append(f"| {entry['method']} | {entry['dim'] or ''} | {100 * entry['accuracy']:.2f} % | "
                         f"{entry['mean_squared_error']:.4f} | {clock(entry['compute_seconds'])} | "
                         f"{clock(entry['regression_seconds'])} | {clock(entry['seconds'])} |")
        lines.append("")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build-bench" / "feature-accuracy.json",
                        metavar="FILE", help="results, added to (default build-bench/feature-accuracy.json)")
    parser.add_argument("--ntk", default=str(ROOT / "build-bench" / "ntk"), metavar="PROGRAM")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one; again for more")
    parser.add_argument("--method", action="append", choices=["exact", "rf", "sketch"],
                        help="only this one; again for more")
    parser.add_argument("--most", type=int, metavar="M", help="leave out more features than that")
    parser.add_argument("--cifar", metavar="DIR", help="folder of CIFAR-10's binary files; without it no case cifar")
    parser.add_argument("--seed", type=int, default=0,
                        help="of the features, or the first of several; results of several seeds stand side by side")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--memory", metavar="SIZE", help="passed on to ntk")
    parser.add_argument("--scratch", metavar="DIR",
                        help="where features are written meanwhile (default: $TMPDIR or /tmp)")
    parser.add_argument("--commit", default="unknown", help="the commit, for the JSON")
    parser.add_argument("--quick", action="store_true", help="one tiny case, only to see that everything works")
    parser.add_argument("--table", action="store_true", help="measure nothing: print the tables of FILE")
    return parser.parse_args()


def main():
    options = parse()
    results = read_results(options.json, {"format": "ntk-feature-accuracy 1", "quick": options.quick})
    names = list(QUICK) if options.quick else options.case or [name for name in CASES
                                                                if name != "cifar" or options.cifar]
    if not options.quick and "cifar" in names and not options.cifar and not options.table:
        fail("the case cifar needs --cifar DIR")
    if results["quick"] != options.quick and not options.table:
        fail(f"{options.json} is of another kind of run (--quick): name another file")
    if not options.table:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="ntk-features-", dir=options.scratch) as scratch:
            for name in names:
                measure(options, results, name, {**CASES, **QUICK}[name], pathlib.Path(scratch))
    print(markdown(results["accuracy"]), end="")


if __name__ == "__main__":
    main()
