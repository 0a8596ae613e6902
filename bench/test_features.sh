#!/bin/bash
# shellcheck disable=SC2016
# The benchmarks of features work: quick runs, values sane, JSON complete, a second run skips. No time is judged.
set -u
program=$(realpath "$1")
ntk=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d /tmp/ntk-bench-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

fail() {
  echo "FAILED: $*"
  [ ! -s out ] || sed 's/^/  stdout: /' out | tail -n 30
  [ ! -s err ] || sed 's/^/  stderr: /' err | tail -n 10
  exit 1
}
run() { # CODE COMMAND OPTIONS...
  local expected=$1 code=0
  shift
  "$@" >out 2>err </dev/null || code=$?
  [ "$code" -eq "$expected" ] || fail "$*: exit code $code instead of $expected"
}
json() { # FILE EXPRESSION on $j
  perl -MJSON::PP -0777 -e '
    open my $file, "<", $ARGV[0] or die;
    my $j = JSON::PP->new->decode(<$file>);
    exit(eval($ARGV[1]) ? 0 : 1)' "$1" "$2" ||
    fail "$1: not so: $2"
}

run 0 "$program" --quick --json all.json --commit abc
json all.json '$j->{format} eq "ntk-feature-bench 1" && $j->{quick} && !$j->{partial} && $j->{commit} eq "abc"'
json all.json '$j->{machine}{name} =~ /^[a-z0-9-]+$/ && $j->{compiler} && $j->{isa} && $j->{blas} && $j->{date}'
json all.json '@{$j->{growth}} == 4 && !grep { my $s = $_;
  !($s->{ratio_per_doubling} > 0 && $s->{expected_per_doubling} == ($s->{engine} eq "exact" ? 4 : 2)
    && !grep { !($_->{seconds}{best} > 0) } @{$s->{points}}) } @{$j->{growth}}'
# Sizes double; what the exact kernel has to do for a pair of images grows with the square of the pixels.
json all.json '!grep { my ($s, $p) = ($_->{grows}, $_->{points});
  grep { $p->[$_]{$s} != 2 * $p->[$_ - 1]{$s} } 1 .. $#$p } @{$j->{growth}}'
json all.json 'my ($s) = grep { $_->{engine} eq "exact" && $_->{grows} eq "pixels" } @{$j->{growth}}; my $p = $s->{points};
  $p->[2]{entry_layers_per_pair} == 16 * $p->[0]{entry_layers_per_pair}'
# The error falls as 1/sqrt(M): from M = 64 to 1024 to a quarter; two networks, four methods, three dimensions.
json all.json '@{$j->{error}} == 24 && !grep { !($_->{seconds_per_input}{best} > 0 && $_->{exact_seconds_per_pair} > 0
  && $_->{error}{mean} > 0 && $_->{seeds} == 2) } @{$j->{error}}'
json all.json 'my %e; $e{"$_->{network} $_->{method}"}{$_->{dim}} = $_->{centred_error}{mean} for @{$j->{error}};
  keys(%e) == 8 && !grep { my $r = $_->{64} / $_->{1024}; !($r > 2 && $r < 8 && $_->{1024} < 0.5) } values %e'
json all.json '@{$j->{stages}} >= 3 && !grep { my $s = $_->{shares}; my $sum = 0; $sum += $_ for values %$s;
  !($_->{records_per_second} > 0 && abs($sum - 1) < 1e-6 && $s->{sums} >= 0 && $_->{transform_gflops_per_core} > 0)
  } @{$j->{stages}}'
# The bare products have the sizes that the library multiplies, else there would be none.
json all.json '!grep { $_->{method} eq "rf" && !($_->{product_fraction_of_bare_sgemm} > 0
  && $_->{product_gflops_per_core} > 0) } @{$j->{stages}}'

run 0 "$program" --quick --only growth --rounds 1 --json one.json
json one.json '$j->{partial} && $j->{growth} && !exists $j->{error} && !exists $j->{stages}'
run 0 "$program" --machine
grep -qxE '[a-z0-9-]+' out || fail "--machine printed no short name"
run 2 "$program" --only nothing
run 2 "$program" --rounds 0
run 2 "$program" --nonsense
run 3 "$program" --quick --only growth --rounds 1 --json absent/r.json
grep -q 'absent/r.json' err || fail "the file that cannot be written is not named"

command -v python3 >/dev/null || { echo "ok, without bench/features.py: no python3"; exit 0; }
run 0 python3 "$here/features.py" --quick --ntk "$ntk" --json accuracy.json --commit abc
[ "$(grep -c measuring err)" -eq 4 ] || fail "four results were to be measured"
grep -q '^| exact |' out || fail "the table lacks the exact kernel"
json accuracy.json '@{$j->{accuracy}} == 4 && !grep { !($_->{accuracy} > 0.8 && $_->{seconds} > 0 && $_->{commit} eq "abc"
  && $_->{train_count} == 60 && $_->{test_count} == 40) } @{$j->{accuracy}}'
json accuracy.json '!grep { $_->{method} ne "exact" && !(keys %{$_->{thread_seconds}} == 6) } @{$j->{accuracy}}'
run 0 python3 "$here/features.py" --quick --ntk "$ntk" --json accuracy.json
[ "$(grep -c 'there already' err)" -eq 4 ] || fail "a second run measured again"
run 1 python3 "$here/features.py" --ntk "$ntk" --json accuracy.json --case dense
run 1 python3 "$here/features.py" --ntk "$ntk" --json other.json --case cifar
run 1 python3 "$here/features.py" --quick --ntk /bin/false --json none.json
echo "ok"
