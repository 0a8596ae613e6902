#!/usr/bin/env python3
"""Writes the newest results of every machine into README.md and docs/performance.md.

usage: bench/summarise.py [--results FOLDER] [--check] [--busy]

Replaces what stands between the lines <!-- bench:begin --> and <!-- bench:end -->: a short table in README.md, the
full ones in docs/performance.md; and between <!-- features:begin --> and <!-- features:end --> those of random
features, if there is a result of bench/run --features (*-features.json). Quick and partial results are left out, and
so are those of a busy machine unless --busy is given.
--check changes nothing and exits with 1 if a file is not up to date.
"""
import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKS = {part: (f"<!-- {part}:begin -->", f"<!-- {part}:end -->") for part in ("bench", "features")}
FORMATS = ("ntk-bench 1", "ntk-feature-bench 1", "ntk-peers 1", "ntk-gpu-check 1")
READOUTS = ["flatten", "lap(4)", "gap"]
KERNELS = {"ntk": "NTK", "nngp": "NNGP"}


def fail(sentence):
    print(f"summarise.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def busy(result):
    """Whether something else ran: one thread did not have a processor to itself."""
    if "results" in result:
        alone = [case["least_cpu_share"] for case in result["results"] if case["threads"] == 1]
    else:
        alone = [result["least_cpu_share"]]
    return min(alone, default=1) < 0.95 or result["load"]["stolen_share"] > 0.01


def newest(folder, form, usable):
    """The newest result of a format, of each machine, of those that are usable; newest machine first."""
    machines = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            fail(f"{path} is not JSON: {error}")
        if result.get("format") not in FORMATS:
            fail(f"{path} is no result of bench/run")
        if result["format"] != form or result["quick"] or result.get("partial"):
            continue  # partial: some cases only (--only)
        if not usable(path, result):
            print(f"summarise.py: left out {path}: the machine was busy", file=sys.stderr)
            continue
        name = result["machine"]["name"]
        if name not in machines or machines[name]["date"] < result["date"]:
            machines[name] = result
    return sorted(machines.values(), key=lambda result: result["date"], reverse=True)


def number(value):
    """Three significant digits, thousands separated."""
    if value is None:
        return ""
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if abs(float(digits)) >= 100 else f"{float(digits):g}"


LIMITS = {"fma": "multiply-adds", "add": "additions", "issue": "floating-point instructions", "sqrt": "square roots",
          "shuffle": "shuffles", "load": "loads", "store": "stores"}


def billions(value):
    return f"{value / 1e9:.2f}e9"


def percent(value):
    return "" if value is None else f"{100 * value:.0f} %"


def title(result):
    machine = result["machine"]
    cores = f"{machine['cores']} core" + ("s" if machine["cores"] != 1 else "")
    return (f"**{machine['cpu']} ({machine['core']}), {cores}, {result['clock_hz']['median'] / 1e9:.2f} GHz measured, "
            f"{result['isa']}** — libntk {result['version']}, commit {result['commit']}, {result['compiler']}, "
            f"{result['date'][:10]}")


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def find(result, **wanted):
    for case in result["results"]:
        if all(case[key] == value for key, value in wanted.items()):
            return case
    return None


def speeds(result, kernel, readout, depth):
    """One thread and all threads of the plane engine; the second is None on a machine of one core."""
    same = dict(method="plane", kernel=kernel, readout=readout, depth=depth)
    one = find(result, threads=1, **same)
    many = [case for case in result["results"] if case["threads"] > 1 and all(case[k] == v for k, v in same.items())]
    return one, many[0] if many else None


def ratios(result, bars):
    """A sentence for each comparison with the classical method."""
    names = {"classical": "the classical layer-by-layer method, vectorised",
             "classical-separable": "the same with separable sums in place",
             "classical-blocked": "these blocked for the cache", "classical-scalar": "the classical method not vectorised"}
    lines = []
    for entry in result["comparisons"]:
        text = f"{entry['ratio']:.1f} x {names[entry['baseline']]} ({number(entry['pairs_per_second'])} pairs/s)"
        if bars and "bar" in entry:
            text += f"; bar {entry['bar']:g}: {'reached' if entry['reached'] else 'missed'}"
        lines.append(text)
    return lines


def memory(result):
    parts = []
    for entry in result["memory"]:
        text = f"{entry['images']:,} images {entry['peak_rss_bytes'] / 2**20:,.0f} MiB"
        parts.append(text + ("" if entry["complete"] else " (steady state)"))
    return parts


def short(results):
    lines = []
    for result in results:
        rows = []
        for kernel in KERNELS:
            for readout in reversed(READOUTS):
                one, many = speeds(result, kernel, readout, 21)
                if not one:
                    continue
                rows.append([f"{KERNELS[kernel]} {readout}", number(one["pairs_per_second"]["best"]),
                             number(many["pairs_per_second"]["best"]) if many else "",
                             billions(one["entry_layers_per_second"]), percent(one.get("fraction_of_limit"))])
        lines += [title(result), ""]
        lines += table(["depth 21, 3x32x32 images", "pairs/s, 1 thread",
                        f"pairs/s, {result['machine']['cores']} threads", "entry-layers/s, 1 thread",
                        "of the limit"], rows)
        if result["comparisons"]:
            lines += ["One core, NTK gap, against other methods in the same run: "
                      + "; ".join(ratios(result, False)) + ".", ""]
        if memory(result):
            lines += [f"Peak memory of `ntk gram`, `{result['memory'][0]['network']}`, 28x28: "
                      + ", ".join(memory(result)) + ".", ""]
    lines += ["How this is measured, what the words mean, all figures: [docs/performance.md](docs/performance.md)."]
    return lines


def limits(result):
    lines = []
    for kernel, limit in result["limits"].items():
        if not limit:
            continue
        needed = limit["instructions_per_vector"]
        kind = limit["limit"]
        lines.append(
            f"Limit, {KERNELS[kernel]}: {LIMITS[kind]}, {needed[kind]:g} a vector of {result['rates']['lanes']} entries "
            f"({limit['all_instructions_per_vector']:.3g} instructions in all) at "
            f"{result['rates']['instructions_per_clock'][kind]:.2f} a clock: "
            f"{billions(limit['limit_entry_layers_per_second'])} entry-layers/s a core.")
    return [line for text in lines for line in (text, "")]


def full(results):
    lines = []
    for result in results:
        lines += [title(result), ""]
        lines += limits(result)
        rows = []
        for case in result["results"]:
            best, worst = case["pairs_per_second"]["best"], case["pairs_per_second"]["worst"]
            name = KERNELS[case["kernel"]] + ("" if case["method"] == "plane" else f", {case['method']}")
            rows.append([name, str(case["depth"]), case["readout"], str(case["threads"]), number(best),
                         number(case["pairs_per_second"]["median"]), number(worst),
                         billions(case["entry_layers_per_second"]),
                         f"{case['clocks_per_entry_layer']:.2f}" if "clocks_per_entry_layer" in case else "",
                         percent(case.get("fraction_of_limit")),
                         f"{case['scaling']:.2f}" if "scaling" in case else "",
                         f"{case['verification']['max_relative_error']:.0e}"])
        lines += table(["kernel", "depth", "readout", "threads", "pairs/s, best", "median", "worst", "entry-layers/s",
                        "clocks", "of the limit", "scaling", "error"], rows)
        lines += [f"- {text}" for text in ratios(result, True)]
        for entry in result["memory"]:
            done = "complete" if entry["complete"] else f"{entry['pairs_computed']:,} of {entry['pairs']:,} pairs"
            lines.append(f"- peak memory, {entry['images']:,} images of 28x28, `{entry['network']}`, "
                         f"{entry['threads']} threads: {entry['peak_rss_bytes'] / 2**20:,.0f} MiB, "
                         f"{entry['peak_anonymous_bytes'] / 2**20:,.0f} MiB of it "
                         f"anonymous ({done})")
        lines.append("")
    return lines[:-1] or ["No results yet."]


def replace(path, part, lines, check):
    """Puts lines between a part's markers; whether the file was up to date."""
    begin, end = MARKS[part]
    old = path.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        fail(f"{path} has no pair of lines {begin} and {end}")
    before, rest = old.split(begin)
    after = rest.split(end)[1]
    new = before + begin + "\n" + "\n".join(lines) + "\n" + end + after
    if new != old and not check:
        path.write_text(new, encoding="utf-8")
    return new == old


# ---- random features


def seconds(value):
    if value >= 600:
        return f"{value / 60:.0f} min"
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} us"


def growth(result):
    names = {"inputs": "number of inputs", "pixels": "number of pixels"}
    rows = []
    for series in result["growth"]:
        points = series["points"]
        size = points[0][series["grows"]], points[-1][series["grows"]]
        what = f"features, M = {series['dim']}" if series["engine"] == "features" else "exact kernel"
        rows.append([what, f"`{series['network']}`", f"{names[series['grows']]}, {size[0]:,} to {size[1]:,}",
                     seconds(points[0]["seconds"]["best"]), seconds(points[-1]["seconds"]["best"]),
                     f"{series['ratio_per_doubling']:.2f}", f"{series['last_ratio']:.2f}",
                     str(series["expected_per_doubling"])])
    return table(["one thread", "network", "grows", "first", "last", "a doubling costs", "the last one", "expected"],
                 rows)


def error_cell(entry):
    return (f"{100 * entry['error']['mean']:.3g} % ({100 * entry['centred_error']['mean']:.3g} %), "
            f"{seconds(entry['seconds_per_input']['best'])}")


def errors(result):
    lines = []
    for network in dict.fromkeys(entry["network"] for entry in result["error"]):
        chosen = [entry for entry in result["error"] if entry["network"] == network]
        dims = sorted({entry["dim"] for entry in chosen})
        rows = []
        for method in dict.fromkeys(entry["method"] for entry in chosen):
            cells = {entry["dim"]: entry for entry in chosen if entry["method"] == method}
            rows.append([method] + [error_cell(cells[dim]) if dim in cells else "" for dim in dims])
        lines += [f"`{network}`, {chosen[0]['inputs']} inputs, mean of {chosen[0]['seeds']} seeds: relative error of "
                  f"Z Z^T (centred), time of an input on one thread; the exact kernel takes "
                  f"{seconds(chosen[0]['exact_seconds_per_pair'])} a pair.", ""]
        lines += table(["method"] + [f"M = {dim}" for dim in dims], rows)
    return lines


def stages(result):
    rows = []
    for entry in result["stages"]:
        share = entry["shares"]
        products = entry["product_gflops_per_core"] > 0
        rows.append([f"`{entry['network']}`", entry["method"], str(entry["dim"]), str(entry["threads"]),
                     number(entry["records_per_second"]),
                     ", ".join(f"{name} {percent(share[name])}" for name in ("products", "units", "sketches", "sums")),
                     f"{entry['product_gflops_per_core']:.0f} Gflop/s, "
                     f"{percent(entry['product_fraction_of_fma_peak'])}, "
                     f"{percent(entry['product_fraction_of_bare_sgemm'])}" if products else "",
                     f"{entry['transform_gflops_per_core']:.3g} Gflop/s, "
                     f"{percent(entry['transform_fraction_of_additions'])}",
                     percent(entry["products_and_transforms_share"]), percent(entry["floor_share"])])
    return table(["1x28x28 images", "method", "M", "threads", "records/s", "time",
                  "products a core: of the peak, of sgemm", "transforms a core: of the peak", "products and transforms",
                  "floor"], rows)


ORDER = {"exact": 0, "rf": 1, "sketch": 2}


def mean(values):
    return sum(values) / len(values)


def by_map(entries):
    """Entries that differ by the seed alone, together."""
    groups = {}
    for entry in sorted(entries, key=lambda e: (ORDER[e["method"]], e["dim"], e["seed"])):
        groups.setdefault((entry["method"], entry["dim"]), []).append(entry)
    return list(groups.values())


def accuracy_cell(group):
    """The mean, and the standard deviation of several seeds."""
    values = [100 * entry["accuracy"] for entry in group]
    if len(values) == 1:
        return f"{values[0]:.2f} %"
    spread = (sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean(values):.2f} ± {spread:.2f} %"


def accuracy(result):
    lines = []
    for name in dict.fromkeys(entry["case"] for entry in result.get("accuracy", [])):
        chosen = [entry for entry in result["accuracy"] if entry["case"] == name]
        first = chosen[0]
        others = sorted({entry["commit"] for entry in chosen} - {result["commit"]})
        lines += [f"`{first['network']}`, {first['train'].split(':')[0]}, {first['train_count']:,} training and "
                  f"{first['test_count']:,} test records, all cores"
                  + (f" (some at commit {', '.join(others)})" if others else "") + ":", ""]
        rows = [[group[0]["method"], str(group[0]["dim"] or ""), str(len(group)), accuracy_cell(group)]
                + [f"{mean([entry['mean_squared_error'] for entry in group]):.4f}"]
                + [seconds(mean([entry[key] for entry in group]))
                   for key in ("compute_seconds", "regression_seconds", "seconds")]
                for group in by_map(chosen)]
        lines += table(["method", "M", "seeds", "accuracy", "MSE", "features or kernel", "regression", "in all"], rows)
    return lines


def best_of(entries):
    """The exact kernel, and every method at its largest M."""
    return list({group[0]["method"]: group for group in by_map(entries)}.values())


def features_short(results):
    lines = []
    for result in results:
        entries = result.get("accuracy", [])
        rows = [[f"`{group[0]['network']}`",
                 f"{group[0]['train'].split(':')[0]}, {group[0]['train_count']:,} / {group[0]['test_count']:,}",
                 group[0]["method"] + (f", M = {group[0]['dim']}" if group[0]["dim"] else ""),
                 accuracy_cell(group), seconds(mean([entry["seconds"] for entry in group]))]
                for name in dict.fromkeys(entry["case"] for entry in entries)
                for group in best_of([entry for entry in entries if entry["case"] == name])]
        if rows:
            lines += ["Random features against exact kernels, from data to accuracy (`ntk eval --method`), "
                      f"{result['machine']['cores']} cores, commit "
                      + " and ".join(dict.fromkeys(entry["commit"] for entry in entries)) + f", {result['date'][:10]}:", ""]
            lines += table(["network", "data, training / test", "method", "accuracy", "time"], rows)
    return lines + ["All figures of features: [docs/performance.md](docs/performance.md#features)."]


def features_title(result):
    machine = result["machine"]
    return (f"**{machine['cpu']} ({machine['core']}), {machine['cores']} cores, {result['isa']}, "
            f"{result['blas'].split(' NO_')[0]}** — libntk {result['version']}, commit {result['commit']}, "
            f"{result['compiler']}, {result['date'][:10]}; multiply-add peak "
            f"{result['rates']['fma_gflops_one_core']:.0f} Gflop/s a core")


def features_full(results):
    lines = []
    for result in results:
        lines += [features_title(result), ""] + growth(result) + errors(result) + stages(result) + accuracy(result)
    return lines[:-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=ROOT / "bench" / "results", metavar="FOLDER")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is not up to date")
    parser.add_argument("--busy", action="store_true", help="also take results of a busy machine")
    options = parser.parse_args()
    usable = lambda path, result: options.busy or not busy(result)
    results = newest(options.results, "ntk-bench 1", usable)
    features = newest(options.results, "ntk-feature-bench 1", usable)
    if not results:
        fail(f"there are no usable results in {options.results}: run bench/run on a quiet machine")
    readme, page = ROOT / "README.md", ROOT / "docs" / "performance.md"
    same = [replace(readme, "bench", short(results), options.check),
            replace(page, "bench", full(results), options.check)]
    if features:
        same += [replace(readme, "features", features_short(features), options.check),
                 replace(page, "features", features_full(features), options.check)]
    sys.exit(1 if options.check and not all(same) else 0)


if __name__ == "__main__":
    main()
