# What the tests of the program share: `. lib.sh PROGRAM`. Each runs in a scratch folder of its own.
# shellcheck shell=bash disable=SC2034
set -u
ntk=$(realpath "$1")
[ -x "$ntk" ] || { echo "there is no program $ntk"; exit 1; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d /tmp/ntk-cli-XXXXXX)
failures=0
cd "$scratch" || exit 1

finish() {
  local code=$?
  cd / && rm -rf "$scratch"
  if [ "$failures" -gt 0 ]; then
    echo "$failures checks failed"
    exit 1
  fi
  exit "$code"
}
trap finish EXIT

fail() {
  local frame=1
  while [ "${BASH_SOURCE[frame]}" = "${BASH_SOURCE[0]}" ]; do frame=$((frame + 1)); done
  failures=$((failures + 1))
  echo "FAILED line ${BASH_LINENO[frame - 1]}: $*"
  [ ! -s "$scratch/err" ] || sed 's/^/  stderr: /' "$scratch/err" | head -n 20
  [ ! -s "$scratch/out" ] || sed 's/^/  stdout: /' "$scratch/out" | head -n 20
  [ "$failures" -lt 10 ] || exit 1
}

skip() {
  echo "skipped: $*"
  exit 77
}

# run CODE ARGUMENTS...: runs the program, keeps its output in ./out and ./err, and checks the exit code.
run() {
  local expected=$1 code=0
  shift
  "$ntk" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || code=$?
  [ "$code" -eq "$expected" ] || fail "ntk $*: exit code $code instead of $expected"
}

out_has() { grep -qE -- "$1" "$scratch/out" || fail "stdout does not match /$1/"; }
err_has() { grep -qE -- "$1" "$scratch/err" || fail "stderr does not match /$1/"; }
out_empty() { [ ! -s "$scratch/out" ] || fail "stdout is not empty"; }
err_empty() { [ ! -s "$scratch/err" ] || fail "stderr is not empty"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

# close A B TOLERANCE: two float32 arrays of one shape that agree within a relative tolerance.
close() {
  perl -0777 -e '
    my @v = map { open(my $f, "<:raw", $_) or die; my $all = <$f>; my $length = unpack("v", substr($all, 8, 2));
                  die unless substr($all, 10, $length) =~ /<f4/; [unpack("f<*", substr($all, 10 + $length))] } @ARGV[0, 1];
    exit 1 if !@{$v[0]} || @{$v[0]} != @{$v[1]};
    for (0 .. $#{$v[0]}) { my ($x, $y) = ($v[0][$_], $v[1][$_]); exit 1 unless abs($x - $y) <= $ARGV[2] * abs($y) }' \
    "$@" || fail "$1 and $2 are not within $3"
}

missing() { [ ! -e "$1" ] || fail "$1 exists"; }

# A refusal is one sentence on stderr, nothing on stdout.
refused() {
  run "$@"
  out_empty
  [ "$(grep -c '^ntk: ' "$scratch/err")" -eq 1 ] || fail "stderr is not one sentence"
}

# npy FILE DESCR 'SHAPE,' <payload: a version 1.0 array file.
npy() {
  local header="{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
  local length=$(((${#header} + 1 + 10 + 63) / 64 * 64 - 10))
  {
    printf '\x93NUMPY\x01\x00'
    # shellcheck disable=SC2059 # the format is made of two bytes
    printf "$(printf '\\x%02x\\x%02x' $((length % 256)) $((length / 256)))"
    printf '%-*s\n' $((length - 1)) "$header"
    cat
  } >"$1"
}

# noise COUNT [SEED]: reproducible bytes.
noise() {
  perl -e 'binmode STDOUT; my ($n, $s) = @ARGV; for (1 .. $n) { $s = ($s * 75 + 74) % 65537; print chr(($s >> 5) & 255) }' \
    "$1" "${2:-1}"
}

# bytes N N N...: each as one byte.
bytes() { perl -e 'binmode STDOUT; print pack("C*", @ARGV)' "$@"; }

# images FILE COUNT SIDE [SEED]: grey uint8 images; labels FILE COUNT CLASSES: their class numbers in turn.
images() { noise $(($2 * $3 * $3)) "${4:-1}" | npy "$1" '|u1' "$2, 1, $3, $3"; }
# shellcheck disable=SC2046 # one word a label
labels() { bytes $(for ((i = 0; i < $2; ++i)); do echo $((i % $3)); done) | npy "$1" '|u1' "$2,"; }

# json EXPRESSION: a Perl expression over the object $j on stdout, which must be one JSON object and nothing else.
json() {
  perl -MJSON::PP -0777 -e '
    open(my $file, "<", $ARGV[0]) or die;
    my $j = JSON::PP->new->decode(<$file>);
    ref($j) eq "HASH" or die "no object";
    exit(eval($ARGV[1]) ? 0 : 1)' "$scratch/out" "$1" || fail "not so: $1"
}
