#!/bin/bash
# shellcheck disable=SC2016
# --flip: averages over mirror images beside the plain kernels, their files, refusals.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 16 6; labels y.npy 16 2; images Z.npy 5 6 5; labels z.npy 5 2
perl -0777 -e 'open(my $f, "<:raw", "X.npy"); my $all = <$f>; my $at = 10 + unpack("v", substr($all, 8, 2));
  my @rows = unpack("(a6)*", substr($all, $at)); open(my $o, ">:raw", "FX.npy");
  print $o substr($all, 0, $at), map { scalar reverse } @rows'
net=(--net '2*(conv3 relu) gap' --precision f64 --progress none --preprocess none)

run 0 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out plain.npy
run 0 gram "${net[@]}" --data npy:Z.npy --against npy:FX.npy --out mirrored.npy
run 0 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out one.npy --flip average --json
json '@{$j->{outputs}} == 1 && $j->{outputs}[0]{flip} && $j->{outputs}[0]{name} eq "ntk-flip"'
run 0 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out two.npy --diagonal d.npy --flip both --json
json '@{$j->{outputs}} == 2 && !$j->{outputs}[0]{flip} && $j->{outputs}[1]{path} eq "two-ntk-flip.npy"'
same two-ntk.npy plain.npy; same two-ntk-flip.npy one.npy
for file in d-ntk.npy d-ntk-flip.npy; do [ -s $file ] || fail "$file is missing"; done
perl -0777 -e 'my @v = map { open(my $f, "<:raw", $_) or die; my $all = <$f>;
    [unpack("d<*", substr($all, 10 + unpack("v", substr($all, 8, 2))))] } @ARGV;
  exit 1 if @{$v[0]} != 80;
  for (0 .. 79) { my $mean = ($v[0][$_] + $v[1][$_]) / 2; exit 1 unless abs($v[2][$_] - $mean) <= 1e-12 * $mean }' \
  plain.npy mirrored.npy one.npy || fail 'no average of K(x,z) and K(Fx,z)'
run 0 verify one.npy --json --progress none; json '$j->{verified}'

# Another flip is another matrix.
refused 17 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out one.npy --resume; err_has 'flip'
refused 17 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out plain.npy --flip average --resume; err_has 'flip'
run 0 gram "${net[@]}" --data npy:Z.npy --against npy:X.npy --out one.npy --flip average --resume --json
json '$j->{pairs_computed} == 0'

run 0 eval "${net[@]}" --train npy:X.npy:y.npy --test npy:Z.npy:z.npy --flip both --unit-diagonal --ridge 0.01 --json
json '@{$j->{outputs}} == 2 && $j->{outputs}[1]{flip} && $j->{outputs}[1]{test_diagonal} eq "ntk-out/test-diagonal-ntk-flip.npy"'

run 0 net '2*(conv3 relu) gap' --flip both --json; json '$j->{outputs}[1]{name} eq "ntk-flip"'
flipped=$(perl -MJSON::PP -0777 -ne 'print JSON::PP->new->decode($_)->{entry_layers_per_pair}' out)
run 0 net '2*(conv3 relu) gap' --json; json "2 * \$j->{entry_layers_per_pair} == $flipped"

noise 40 | npy V.npy '|u1' '10, 4,'
refused 11 gram --net 'dense relu dense' --data npy:V.npy --out V-K.npy --flip average; err_has 'no mirror image'
missing V-K.npy
refused 2 gram "${net[@]}" --data npy:X.npy --out K.npy --flip yes; err_has 'plain\|average\|both'
