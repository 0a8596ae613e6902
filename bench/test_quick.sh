#!/bin/bash
# shellcheck disable=SC2016
# The benchmark program works: quick run, values verified, JSON complete, filters and bad options. No time is judged.
set -u
program=$(realpath "$1")
scratch=$(mktemp -d /tmp/ntk-bench-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

fail() {
  echo "FAILED: $*"
  [ ! -s out ] || sed 's/^/  stdout: /' out | tail -n 30
  [ ! -s err ] || sed 's/^/  stderr: /' err | tail -n 10
  exit 1
}
run() { # CODE OPTIONS...
  local expected=$1 code=0
  shift
  "$program" "$@" >out 2>err </dev/null || code=$?
  [ "$code" -eq "$expected" ] || fail "ntk_bench $*: exit code $code instead of $expected"
}
json() { # FILE EXPRESSION on $j
  perl -MJSON::PP -0777 -e '
    open my $file, "<", $ARGV[0] or die;
    my $j = JSON::PP->new->decode(<$file>);
    exit(eval($ARGV[1]) ? 0 : 1)' "$1" "$2" ||
    fail "$1: not so: $2"
}

run 0 --quick --json all.json --commit abc
json all.json '$j->{format} eq "ntk-bench 1" && $j->{quick} && $j->{commit} eq "abc" && $j->{version} && $j->{date}'
json all.json '$j->{machine}{name} =~ /^[a-z0-9-]+$/ && $j->{machine}{cores} >= 1 && $j->{compiler} && $j->{isa}'
json all.json 'my %seen; $seen{"$_->{method} $_->{readout} $_->{kernel}"}++ for @{$j->{results}};
  keys(%seen) == 14 && $seen{"plane resnet-20 ntk"} && $seen{"plane gap nngp"} && $seen{"classical-scalar gap ntk"}'
json all.json '!grep { my $v = $_->{verification};
  !($v->{entries} >= 1 && $v->{max_relative_error} <= $v->{tolerance} && $v->{tolerance} <= 1e-4) } @{$j->{results}}'
json all.json '!grep { my $r = $_->{pairs_per_second};
  !(@{$_->{runs_seconds_per_pair}} == $j->{rounds} && $r->{best} >= $r->{median} && $r->{median} >= $r->{worst}
    && $r->{worst} > 0 && $_->{entry_layers_per_second} > 0) } @{$j->{results}}'
json all.json '@{$j->{comparisons}} == 4 && !grep { !($_->{ratio} > 0) } @{$j->{comparisons}}'
json all.json 'my $l = $j->{limits}{ntk}; !$j->{rates}{lanes} || !$l || $l->{limit_entry_layers_per_second} > 0'

run 0 --quick --only readout=flatten --only readout=gap --only kernel=nngp --only method=plane --only threads=1 \
  --rounds 1 --json few.json
json few.json '@{$j->{results}} == 2 && !grep { $_->{kernel} ne "nngp" || $_->{threads} != 1 } @{$j->{results}}'
run 0 --machine
grep -qxE '[a-z0-9-]+' out || fail "--machine printed no short name"

# No counts, no limit, but results.
run 0 --quick --only readout=flatten --only kernel=ntk --only threads=1 --counts absent.json --json bare.json
grep -q 'count_instructions.py' err || fail "nothing said how to make the missing counts"
json bare.json '@{$j->{results}} == 1 && !defined $j->{limits}{ntk} && !exists $j->{results}[0]{fraction_of_limit}'

run 2 --only depth
run 2 --only speed=5
run 2 --rounds 0
run 2 --nonsense
run 2 --quick --only depth=5
run 3 --quick --only readout=flatten --only kernel=ntk --only threads=1 --rounds 1 --json absent/r.json
grep -q 'absent/r.json' err || fail "the file that cannot be written is not named"
echo "ok"
