#!/usr/bin/env python3
"""The same kernel by libntk and by neural-tangents, on the same machine and the same random images.

Compares the values and times both; prints one JSON object. Needs neural-tangents (with JAX for the GPU to
compare GPUs); libntk's program comes with --ntk. Exit code 1 if the values differ by more than 1e-3, of which float32
leaves neural-tangents about 4e-4 after 20 layers (with JAX_ENABLE_X64=1 they differ by libntk's 1e-6); 3 if
neural-tangents is not installed.
"""
import argparse, json, math, os, subprocess, sys, tempfile, time


def ours(ntk, device, net, path, folder):
    out = os.path.join(folder, "k.npy")
    command = [ntk, "gram", "--device", device, "--net", net, "--data", "npy:" + path, "--preprocess", "none", "--out",
               out, "--overwrite", "--progress", "none", "--json"]
    report = subprocess.run(command, capture_output=True, text=True)
    if report.returncode != 0:
        sys.exit(f"peer: ntk failed: {report.stderr.strip()}")
    return out, json.loads(report.stdout)["seconds"]


def theirs(depth, readout, x):
    """The kernel matrix of x by neural-tangents, the seconds of a second run, and the device."""
    import jax
    from neural_tangents import stax
    x = x.astype("float64" if jax.config.jax_enable_x64 else "float32")
    layers = []
    for _ in range(depth):
        layers += [stax.Conv(1, (3, 3), padding="SAME", W_std=math.sqrt(2)), stax.Relu()]
    layers += [stax.GlobalAvgPool() if readout == "gap" else stax.Flatten(), stax.Dense(1, W_std=1.0)]
    kernel = jax.jit(lambda a, b: stax.serial(*layers)[2](a, b, "ntk"))
    kernel(x, x).block_until_ready()
    begin = time.time()
    values = kernel(x, x).block_until_ready()
    return values, time.time() - begin, str(jax.devices()[0])


def compare(args, numpy, readout, count):
    x = numpy.random.default_rng(1).standard_normal((count, 3, args.size, args.size))
    x = x.astype(numpy.float32)
    values, seconds, device = theirs(args.depth, readout, x.transpose(0, 2, 3, 1))
    net = f"{args.depth}*(conv3(W=1.4142135623730951) relu(c=1)) {readout}"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        numpy.save(path, x)
        out, _ = ours(args.ntk, args.device, net, path, folder)
        error = float(numpy.max(numpy.abs(numpy.load(out) / numpy.asarray(values) - 1)))
        numpy.save(path, numpy.concatenate([x] * args.repeat))  # enough to time
        _, our_seconds = ours(args.ntk, args.device, net, path, folder)
    n = count * args.repeat
    rate, their_rate = n * (n + 1) / 2 / our_seconds, count * count / seconds
    return {"network": net, "images": count, "device": device, "max_relative_difference": error,
            "pairs_per_second": rate, "their_pairs_per_second": their_rate, "ratio": rate / their_rate}


def commit():
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short=12", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ntk", required=True, help="the program ntk")
    parser.add_argument("--device", default="auto", help="of ntk: auto, cpu, cuda:0")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--size", type=int, default=32, help="height and width")
    parser.add_argument("--images", type=int, default=4, help="of neural-tangents' batch, whose memory grows as size^4")
    parser.add_argument("--repeat", type=int, default=32, help="images of libntk's timing: this many batches")
    args = parser.parse_args()
    try:
        import numpy
        import neural_tangents
    except ImportError as error:
        print(f"peer: {error}", file=sys.stderr)
        sys.exit(3)
    import jax
    info = json.loads(subprocess.run([args.ntk, "info", "--json"], capture_output=True, text=True).stdout or "{}")
    results = [compare(args, numpy, readout, args.images) for readout in ("gap", "flatten")]
    print(json.dumps({"format": "ntk-peers 1", "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit(),
                      "cpu": info.get("cpu"), "cuda": info.get("cuda"), "neural_tangents": neural_tangents.__version__,
                      "jax": jax.__version__, "float64": bool(jax.config.jax_enable_x64), "results": results}, indent=1))
    sys.exit(0 if all(r["max_relative_difference"] < 1e-3 for r in results) else 1)


main()
