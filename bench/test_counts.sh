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
# A layer of the NTK needs at least 13 multiply-adds (two polynomials of degree 4 or more) and one square root a vector;
# with much more, another loop was found.
python3 - "$scratch/counts.json" <<'END' || { echo "FAILED: the counts are not those of the steady state"; exit 1; }
import json, sys
counts = json.load(open(sys.argv[1]))
assert counts["format"] == "ntk-instruction-counts 1" and counts["compiler"] != "unknown"
for isa in ("avx512", "avx2"):
    for name, entry in counts["isas"][isa]["functions"].items():
        per, ntk = entry["per_vector"], name[6] == "1"
        low, high = (13, 30) if ntk else (6, 18)
        assert low <= per["fma"] + per["mul"] <= high, (isa, name, per)
        assert per["sqrt"] == 1, (isa, name, per)
        assert per["all"] >= per["floating_point"] >= per["fma"] + per["mul"] + per["add"] + 1, (isa, name, per)
    for name in ("fast_2111MIDDLE", "fast_4111MIDDLE", "fast_2011MIDDLE", "fast_4011MIDDLE"):
        assert name in counts["isas"][isa]["functions"], name
END
echo "ok"
