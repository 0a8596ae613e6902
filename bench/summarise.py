#!/usr/bin/env python3
"""Writes the newest results of every machine into README.md and docs/performance.md.

usage: bench/summarise.py [--results FOLDER] [--check] [--busy]

Replaces what stands between the lines <!-- bench:begin --> and <!-- bench:end -->: a short table in README.md, the full
ones in docs/performance.md. Quick and partial results are left out, and so are those of a busy machine unless --busy is given.
--check changes nothing and exits with 1 if a file is not up to date.
"""
import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
READOUTS = ["flatten", "lap(4)", "gap"]
KERNELS = {"ntk": "NTK", "nngp": "NNGP"}


def fail(sentence):
    print(f"summarise.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def busy(result):
    """Whether something else ran: one thread did not have a processor to itself."""
    alone = [case["least_cpu_share"] for case in result["results"] if case["threads"] == 1]
    return min(alone, default=1) < 0.95 or result["load"]["stolen_share"] > 0.01


def newest(folder, even_busy):
    """The newest usable result of each machine, newest machine first."""
    machines = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            fail(f"{path} is not JSON: {error}")
        if result.get("format") in ("ntk-peers 1", "ntk-gpu-check 1"):
            continue  # of bench/peer_neural_tangents.py and tools/gpu-check
        if result.get("format") != "ntk-bench 1":
            fail(f"{path} is no result of bench/run")
        if result["quick"] or result.get("partial"):
            continue  # partial: some cases only (--only)
        if busy(result) and not even_busy:
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


def replace(path, lines, check):
    """Puts lines between the markers; whether the file was up to date."""
    old = path.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        fail(f"{path} has no pair of lines {BEGIN} and {END}")
    before, rest = old.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after
    if new != old and not check:
        path.write_text(new, encoding="utf-8")
    return new == old


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=ROOT / "bench" / "results", metavar="FOLDER")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is not up to date")
    parser.add_argument("--busy", action="store_true", help="also take results of a busy machine")
    options = parser.parse_args()
    results = newest(options.results, options.busy)
    if not results:
        fail(f"there are no usable results in {options.results}: run bench/run on a quiet machine")
    same = [replace(ROOT / "README.md", short(results), options.check),
            replace(ROOT / "docs" / "performance.md", full(results), options.check)]
    sys.exit(1 if options.check and not all(same) else 0)


if __name__ == "__main__":
    main()
