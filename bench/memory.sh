#!/bin/bash
# Peak memory of whole matrices: `ntk gram` on 5,000 and on 60,000 images of 28x28.
set -eu
usage() {
  cat <<END
usage: bench/memory.sh [--ntk PROGRAM] [--json FILE] [--quick]

Runs ntk gram --net '2*(conv3 relu) flatten' on Fashion-MNIST and polls the peak resident memory of the process
(VmHWM in /proc). 5,000 images are computed to the end (or for ten minutes); 60,000 are stopped (SIGTERM) when the peak
has not moved for 10 s and tiles have been written. Needs 15 GB of free disk space in \$TMPDIR or /tmp for the second.
  --ntk PROGRAM   default: build-bench/ntk, else build/ntk
  --json FILE     also writes the results as JSON
  --quick         200 and 2,000 images: only to see that it works
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
ntk=$root/build-bench/ntk
[ -x "$ntk" ] || ntk=$root/build/ntk
json='' network='2*(conv3 relu) flatten' small=5000 large=60000 steady=10 longest=600 enough=500000
while [ $# -gt 0 ]; do
  case $1 in
    --ntk | --json)
      [ $# -ge 2 ] || { echo "bench/memory.sh: $1 needs a value" >&2; exit 2; }
      if [ "$1" = --ntk ]; then ntk=$2; else json=$2; fi
      shift ;;
    --quick) small=200 large=2000 steady=1 enough=30000 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "bench/memory.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
[ -x "$ntk" ] || { echo "bench/memory.sh: there is no program $ntk: build first" >&2; exit 1; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/ntk-memory-XXXXXX")
process=
finish() {
  [ -z "$process" ] || kill -KILL "$process" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

# Raises peak and anonymous to what the process holds now; fails when it has ended.
look() {
  local key value alive=no
  while read -r key value _; do
    case $key in
      VmHWM:) alive=yes; [ "$value" -le "$peak" ] || { peak=$value stable=$SECONDS; } ;;
      RssAnon:) [ "$value" -le "$anonymous" ] || anonymous=$value ;;
    esac
  done <"/proc/$process/status" || true
  [ $alive = yes ]
} 2>/dev/null
number() { # KEY: of the program's JSON or, when it was stopped, of its last report of progress; or null
  local value
  value=$(sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" "$scratch/err" "$scratch/out" | tail -n 1)
  echo "${value:-null}"
}
pairs_done() { # pairs that the newest line of progress reports
  sed -n 's/.*"done": *\([0-9]*\).*/\1/p' "$scratch/err" | tail -n 1
}

results=
# measure IMAGES SECONDS: to the end (SECONDS = 0), or until the peak has been steady for SECONDS and tiles are written;
# never longer than $longest.
measure() {
  local images=$1 wait_for=$2 peak=0 anonymous=0 stable=0 finished=true code=0 started=$SECONDS polls=0 done_pairs=0
  local total=$((images * (images + 1) / 2)) free
  free=$(df -Pk "$scratch" | awk 'NR == 2 { print $4 }')
  if [ "$free" -lt $((images * images * 4 / 1024 + 524288)) ]; then
    echo "bench/memory.sh: skipped $images images: their matrix does not fit $scratch" >&2
    return
  fi
  "$ntk" gram --net "$network" --data "fashion-mnist:train[0:$images]" --out "$scratch/K.npy" --overwrite \
    --progress json --json >"$scratch/out" 2>"$scratch/err" </dev/null &
  process=$!
  while look; do
    sleep 0.1
    polls=$((polls + 1))
    [ $((polls % 10)) -eq 0 ] || continue
    done_pairs=$(pairs_done)
    if [ $((SECONDS - started)) -ge "$longest" ] || { [ "$wait_for" -gt 0 ] &&
      [ "${done_pairs:-0}" -gt "$enough" ] && [ $((SECONDS - stable)) -ge "$wait_for" ]; }; then
      finished=false
      kill -TERM "$process" 2>/dev/null || true
      break
    fi
  done
  wait "$process" || code=$?
  process=
  case $finished$code in
    true0 | false0) finished=true done_pairs=$total ;; # it may end just before it is stopped
    false143) done_pairs=$(pairs_done) ;;
    *) echo "bench/memory.sh: ntk gram on $images images ended with $code: $(tail -n 1 "$scratch/err")" >&2; exit 1 ;;
  esac
  rm -f "$scratch"/K.npy*
  printf '%s images of 28x28, %s: peak %d MiB (%d MiB of it anonymous), %s of %s pairs\n' "$images" "$network" \
    $((peak / 1024)) $((anonymous / 1024)) "${done_pairs:-0}" "$total"
  results="$results${results:+,}
 {\"images\": $images, \"shape\": \"1x28x28\", \"network\": \"$network\", \"threads\": $(nproc),
  \"peak_rss_bytes\": $((peak * 1024)), \"peak_anonymous_bytes\": $((anonymous * 1024)), \"pairs\": $total,
  \"pairs_computed\": ${done_pairs:-0}, \"complete\": $finished, \"pairs_recomputed\": $(number pairs_recomputed),
  \"pairs_per_second\": $(number pairs_per_second)}"
}

measure "$small" 0
measure "$large" "$steady"
if [ -n "$json" ]; then
  printf '[%s\n]\n' "$results" >"$json.part"
  mv "$json.part" "$json"
fi
