#!/bin/bash
# shellcheck disable=SC2016
# The table of a sweep: a cell for every kernel, each regression by itself, the same numbers as in the JSON.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 40 6; labels y.npy 40 3; images Z.npy 23 6 5; labels z.npy 23 3
job=(eval --net '4*(conv3 relu) gap' --train npy:X.npy:y.npy --test npy:Z.npy:z.npy --depths 4,2 --lap 0,2,5 --kernel both
  --flip both --unit-diagonal --precision f64 --progress none)

run 0 "${job[@]}"; err_empty
cp out table.txt
out_has '^\| NTK +\| d = 4 +\| d = 2 +\|$'
out_has 'plain \(averaged over mirror images\)'
run 0 "${job[@]}" --resume --json
json '@{$j->{outputs}} == 24 && @{[grep { $_->{flip} } @{$j->{outputs}}]} == 12'
json '@{[grep { $_->{loo_accuracy} >= 0 && $_->{ridge} >= 0 } @{$j->{outputs}}]} == 24'
perl -MJSON::PP -e '
  my (%cells, $kernel, @depths);
  open(my $t, "<", "table.txt") or die;
  while (<$t>) {
    next unless /^\| (\S.*?) +\|(.*)\|$/;
    my ($first, @rest) = ($1, split /\|/, $2);
    if ($first =~ /^(NTK|NNGP)$/) { $kernel = lc $first; @depths = map { /(\d+)/ } @rest }
    elsif ($first =~ /^c = (\d+)/) {
      for (0 .. $#rest) {
        $rest[$_] =~ /^ +([\d.]+) \(([\d.]+)\) +$/ or die;
        @cells{"$kernel $depths[$_] c$first 0", "$kernel $depths[$_] c$first 1"} = ($1, $2);
      }
    }
  }
  open(my $o, "<", "out") or die; local $/;
  my $n = 0;
  for (@{JSON::PP->new->decode(<$o>)->{outputs}}) {
    my $key = sprintf("%s %d cc = %d %d", $_->{kernel}, $_->{depth}, $_->{pool}, $_->{flip});
    die "$key" unless defined $cells{$key} && $cells{$key} eq sprintf("%.2f", 100 * $_->{accuracy});
    $n++;
  }
  exit($n == 24 ? 0 : 1)' || fail 'the table and the JSON differ'
grep -q "^chosen without test data: $(perl -MJSON::PP -0777 -ne 'print JSON::PP->new->decode($_)->{selected}' out)," table.txt ||
  fail 'the table names another choice'

# A cell is what a run of its own gives.
accuracy=$(perl -MJSON::PP -0777 -ne '
  for (@{JSON::PP->new->decode($_)->{outputs}}) { print $_->{accuracy} if $_->{name} eq "nngp-depth2-lap2-flip" }' out)
run 0 eval --net '2*(conv3 relu) lap(2)' --kernel nngp --flip average --unit-diagonal --train npy:X.npy:y.npy \
  --test npy:Z.npy:z.npy --precision f64 --out one --json --progress none
json "abs(\$j->{accuracy} - $accuracy) < 1e-12"

# Without a sweep a list, without labels no numbers.
run 0 eval --net '2*(conv3 relu) gap' --train npy:X.npy:y.npy --test npy:Z.npy:z.npy --kernel both --out list --progress none
out_has '^ntk +[0-9.]+ %'; out_has '^nngp +[0-9.]+ %'
run 0 eval --net '2*(conv3 relu) gap' --train npy:X.npy:y.npy --test npy:Z.npy --flip both --out blind --progress none
out_has '^\| readout +\| - \(-\) +\|$'
