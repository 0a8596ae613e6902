#!/usr/bin/env python3
"""Counts the instructions of the plane engine's hot loops in its machine code (x86-64).

usage: bench/count_instructions.py [--build FOLDER] [--write FILE] [--all] [--show FUNCTION]

Looks at the object files of kernels/plane_cpu.c in the build folder (default build). The functions
fast_<nv>_STATE_<state>_<aligned>_MIDDLE are the steady state: one 3x3 convolution and one ReLU over the rows of a tile,
nv vectors a row; state S carries the NNGP alone, ST and DTV the NTK too. In each the cycle of basic blocks with the
most vector arithmetic is found and its shortest way round counted, so that the result is a lower bound. Prints a table
per vector; --write also stores the counts as JSON for the benchmark program.
"""
import argparse
import json
import pathlib
import re
import signal
import subprocess
import sys

FUNCTION = re.compile(r"fast_(?P<vectors>[124])_STATE_(?P<state>[A-Z]+)_(?P<aligned>[01])_(?P<kind>FIRST|MIDDLE|LAST)")
STATES = {"ntk": "ST", "nngp": "S"}  # of ordinary pairs
WIDTH = 32  # of the images that the limit is stated for
LANES = {"avx512": 16, "avx2": 8, "baseline": 4}
CLASSES = ["fma", "mul", "add", "sqrt", "shuffle", "compare", "logic", "load", "store", "move", "mask", "scalar",
           "branch"]
FLOATING = ["fma", "mul", "add", "sqrt", "shuffle", "compare", "logic"]
# Mnemonics of vector instructions, without the leading v; the first match counts.
PATTERNS = [
    ("fma", r"fn?m(add|sub)\d*[ps]"),
    ("mul", r"mul[ps][sd]"),
    ("add", r"(add|sub)[ps][sd]"),
    ("sqrt", r"(r?sqrt|div|rcp|rsqrt14|rcp14)[ps][sd]|r(sqrt|cp)14[ps][sd]"),
    ("compare", r"cmp\w*[ps][sd]|pcmp|max[ps][sd]|min[ps][sd]|(p|v)?test"),
    ("mask", r"kmov|kand|kor|knot|kxor|kshift|kunpck|ktest"),
    ("logic", r"p?(and|andn|or|xor|ternlog)(ps|pd|d|q)?$|pandn|pxor|por|pand"),
    ("shuffle", r"align|palign|perm|shuf|pshuf|unpck|punpck|insert|pinsr|extract|pextr|blend|pblend|expand|compress|"
                r"psll|psrl|broadcast|pbroadcast|mov[lh]+ps|movddup|movs[lh]dup"),
    ("move", r"mov"),
]


def fail(sentence):
    print(f"count_instructions.py: {sentence}", file=sys.stderr)
    sys.exit(1)


def tool(*command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        fail(f"{command[0]} is not installed (Debian: binutils)")
    except subprocess.CalledProcessError as error:
        fail(f"{' '.join(map(str, command))} failed: {error.stderr.strip()}")


class Instruction:
    """One line of objdump -d: address, mnemonic, operands, jump target."""

    def __init__(self, address, text):
        text = text.split("#")[0].split("<")[0].strip()
        words = text.split(None, 1)
        if words and words[0] in ("notrack", "bnd", "rep", "lock"):
            words = words[1].split(None, 1)
        self.address = address
        self.name = words[0]
        self.operands = words[1].strip() if len(words) > 1 else ""
        self.target = int(self.operands, 16) if self.is_jump() and re.fullmatch(r"[0-9a-f]+", self.operands) else None

    def is_jump(self):
        return self.name.startswith("j")

    def ends_block(self):
        return self.is_jump() or self.name.startswith("ret")

    def is_vector(self):
        return bool(re.search(r"%[xyz]mm", self.operands)) or self.name.startswith("k")

    def kind(self):
        if self.is_jump():
            return "branch"
        if not self.is_vector():
            return "scalar"
        if re.match(r"v?p?xor", self.name) and len(set(self.operands.replace("{z}", "").split(",")[:2])) == 1:
            return "move"  # a zero, made where registers are renamed
        name = self.name[1:] if self.name.startswith("v") else self.name
        for kind, pattern in PATTERNS:
            if re.match(pattern, name):
                break
        else:
            return "scalar"
        if kind in ("move", "shuffle") and "(" in self.operands and "," in self.operands:
            memory_last = self.operands.rsplit(",", 1)[1].find("(") >= 0 or self.operands.endswith(")")
            if kind == "move" or "broadcast" in name:
                return "store" if memory_last else "load"
        return kind

    def folds_load(self):
        """Whether arithmetic takes an operand from memory."""
        return "(" in self.operands and self.kind() in FLOATING

    def spills(self):
        return self.is_vector() and re.search(r"\(%r[sb]p\)", self.operands)


def functions(object_file):
    """Name -> list of instructions."""
    found, current = {}, None
    for line in tool("objdump", "-d", "--no-show-raw-insn", object_file).splitlines():
        head = re.fullmatch(r"[0-9a-f]+ <(\w+)>:", line)
        if head:
            current = found.setdefault(head.group(1), [])
            continue
        body = re.match(r"\s*([0-9a-f]+):\s+(\S.*)", line)
        if body and current is not None and "(bad)" not in line:
            current.append(Instruction(int(body.group(1), 16), body.group(2)))
    return found


def blocks_of(code):
    """Basic blocks: start address -> (instructions, successors)."""
    addresses = {i.address for i in code}
    leaders = {code[0].address} | {i.target for i in code if i.target in addresses}
    leaders |= {after.address for i, after in zip(code, code[1:]) if i.ends_block()}
    blocks, start = {}, None
    for index, instruction in enumerate(code):
        if instruction.address in leaders:
            start = instruction.address
            blocks[start] = ([], [])
        blocks[start][0].append(instruction)
        following = code[index + 1].address if index + 1 < len(code) else None
        if instruction.ends_block() or following in leaders:
            if instruction.target in addresses:
                blocks[start][1].append(instruction.target)
            if following is not None and not re.match(r"jmp|ret", instruction.name):
                blocks[start][1].append(following)
    return blocks


def shortest_cycle(blocks, start):
    """The way from a block back to itself with the fewest instructions, as a list of blocks; None without one."""
    best, heap = {}, [(len(blocks[start][0]), [start])]
    while heap:
        heap.sort(key=lambda entry: entry[0])
        length, way = heap.pop(0)
        for successor in blocks[way[-1]][1]:
            if successor == start:
                return way
            cost = length + len(blocks[successor][0])
            if cost < best.get(successor, 1 << 60):
                best[successor] = cost
                heap.append((cost, way + [successor]))
    return None


def hot_loop(code):
    """The instructions of the loop with the most floating point."""
    blocks = blocks_of(code)
    weight = {at: sum(i.kind() in FLOATING for i in block[0]) for at, block in blocks.items()}
    for at in sorted(blocks, key=weight.get, reverse=True):
        way = shortest_cycle(blocks, at)
        if way:
            return [i for block in way for i in blocks[block][0]]
    return None


def count(code, vectors):
    loop = hot_loop(code)
    if not loop:
        return None
    total = dict.fromkeys(CLASSES, 0)
    for instruction in loop:
        total[instruction.kind()] += 1
    per = {kind: total[kind] / vectors for kind in CLASSES}
    per["folded_load"] = sum(i.folds_load() for i in loop) / vectors
    per["spill"] = sum(bool(i.spills()) for i in loop) / vectors
    per["floating_point"] = sum(per[kind] for kind in FLOATING)
    per["all"] = len(loop) / vectors
    return {"vectors": vectors, "per_vector": per}


def compiler_of(object_file):
    """The compiler's signature that the object file carries."""
    text = tool("readelf", "-p", ".comment", object_file)
    lines = [line.split("]", 1)[1].strip() for line in text.splitlines() if "]" in line]
    return "; ".join(dict.fromkeys(lines)) or "unknown"


def survey(build, everything):
    result = {"format": "ntk-instruction-counts 1", "compiler": "unknown", "isas": {}}
    for isa, lanes in LANES.items():
        objects = sorted(pathlib.Path(build).glob(f"kernels/CMakeFiles/ntk_plane_cpu_{isa}_f32.dir/plane_cpu.c.o*"))
        if not objects:
            continue
        result["compiler"] = compiler_of(objects[0])
        entry, odd = {"lanes": lanes, "functions": {}}, 0
        for name, code in functions(objects[0]).items():
            parts = FUNCTION.fullmatch(name)
            if not parts or not (everything or parts["kind"] == "MIDDLE"):
                continue
            counts = count(code, int(parts["vectors"]))
            if counts is None:
                fail(f"{objects[0]}: no loop was found in {name}")
            if counts["per_vector"]["sqrt"] == 1:
                entry["functions"][name] = counts
            else:  # another loop than that over rows, e.g. where the compiler did not unroll the vectors of a row
                odd += 1
        if odd:
            print(f"count_instructions.py: left out {odd} functions of {isa}: their hottest loop is not one row a turn "
                  "with one square root a vector", file=sys.stderr)
        steady = {kernel: f"fast_{WIDTH // lanes}_STATE_{state}_1_MIDDLE" for kernel, state in STATES.items()}
        entry["steady"] = {kernel: name for kernel, name in steady.items() if name in entry["functions"]}
        if entry["functions"]:
            result["isas"][isa] = entry
    if not result["isas"]:
        fail(f"no loop of the plane engine could be counted in {build}: build first, with GCC, for x86-64 "
             f"(the functions are those named {FUNCTION.pattern})")
    return result


def write(result, path):
    """JSON with one function a line."""
    lines = [json.dumps({key: value for key, value in result.items() if key != "isas"})[:-1] + ', "isas": {']
    for isa, entry in result["isas"].items():
        lines.append(f' "{isa}": {{"lanes": {entry["lanes"]}, "steady": {json.dumps(entry["steady"])}, "functions": {{')
        lines += [f'  "{name}": {json.dumps(counts)},' for name, counts in sorted(entry["functions"].items())]
        lines[-1] = lines[-1][:-1]
        lines.append(" }},")
    lines[-1] = " }}"
    pathlib.Path(path).write_text("\n".join(lines) + "\n}}\n", encoding="ascii")


def show(result):
    columns = ["fma", "mul", "add", "sqrt", "shuffle", "compare", "logic", "load", "folded_load", "store", "move",
               "mask", "scalar", "branch", "spill", "floating_point", "all"]
    heads = ["fma", "mul", "add", "sqrt", "shuf", "cmp", "logic", "load", "(folded)", "store", "move", "mask", "scalar",
             "branch", "(spill)", "fp", "all"]
    print(f"{result['compiler']}; instructions a vector of entries, steady state")
    print("names: vectors a row, state, 1 where no seam lies inside a vector; *: what the limit is taken from;\n"
          "(folded): operands that arithmetic loads itself; (spill): loads and stores of the stack; fp: "
          + " + ".join(FLOATING))
    for isa, entry in result["isas"].items():
        print(f"\n{isa + ', ' + str(entry['lanes']) + ' lanes':<27}" + "".join(f"{head:>8}" for head in heads))
        for name, counts in sorted(entry["functions"].items()):
            star = "*" if name in entry["steady"].values() else " "
            print(f"{name + star:<27}" + "".join(f"{counts['per_vector'][column]:8.1f}" for column in columns))


def listing(build, wanted):
    for path in sorted(pathlib.Path(build).glob("kernels/CMakeFiles/ntk_plane_cpu_*_f32.dir/plane_cpu.c.o*")):
        for instruction in hot_loop(functions(path).get(wanted) or []) or [] if wanted in functions(path) else []:
            print(f"{path.parent.name:<32}{instruction.address:8x}  {instruction.kind():<8} {instruction.name:<16} "
                  f"{instruction.operands}")


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # "| head" is no error
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=pathlib.Path(__file__).resolve().parent.parent / "build", metavar="FOLDER")
    parser.add_argument("--write", metavar="FILE", help="store the counts as JSON")
    parser.add_argument("--all", action="store_true", help="also the first and the last layer")
    parser.add_argument("--show", metavar="FUNCTION", help="list the counted loop of a function")
    options = parser.parse_args()
    if options.show:
        listing(options.build, options.show)
        return
    result = survey(options.build, options.all)
    show(result)
    if options.write:
        write(result, options.write)


if __name__ == "__main__":
    main()
