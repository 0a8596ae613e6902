#!/bin/bash
# count_instructions.py finds the hot loops of this build. 77: skipped, on machines or with tools that it is not for.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$1
[ "$(uname -m)" = x86_64 ] || { echo "skipped: counts x86-64 code only"; exit 77; }
for tool in python3 objdump readelf; do
  command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
scratch=$(mktemp -d /tmp/ntk-counts-XXXXXX)
trap 'rm -rf "$scratch"' EXIT

python3 "$here/count_instructions.py" --build "$build" --write "$scratch/counts.json" || { echo "FAILED"; exit 1; }
# A layer of the NTK needs at least 11 multiply-adds (two polynomials of degree 2 or more) and one square root a vector;
# with much more, another loop was found.
python3 - "$scratch/counts.json" <<'END' || { echo "FAILED: the counts are not those of the steady state"; exit 1; }
import json, sys
counts = json.load(open(sys.argv[1]))
assert counts["format"] == "ntk-instruction-counts 1" and counts["compiler"] != "unknown"
for isa in ("avx512", "avx2"):
    entry = counts["isas"][isa]
    for kernel, low, high in (("ntk", 11, 30), ("nngp", 6, 18)):
        name = entry["steady"][kernel]
        per = entry["functions"][name]["per_vector"]
        assert low <= per["fma"] + per["mul"] <= high, (isa, name, per)
        assert per["sqrt"] == 1, (isa, name, per)
        assert per["all"] >= per["floating_point"] >= per["fma"] + per["mul"] + per["add"] + 1, (isa, name, per)
END
echo "ok"
