#!/bin/bash
# shellcheck disable=SC2016
# --convention: the factor in net, gram and eval, in the manifest, and in what is refused.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 12 6; labels y.npy 12 2
net=(--net '2*(conv3 relu) gap')

run 0 net "${net[@]:1}"; out_has '^convention +generic; values are multiplied by 1$'
run 0 net cntk-3-gap; out_has '^convention +preset; values are multiplied by 3$'
run 0 net cntk-3-gap --convention generic; out_has '^convention +generic; values are multiplied by 1$'
run 0 net "${net[@]:1}" --convention neural-tangents --json; json '$j->{convention} eq "neural-tangents" && $j->{scale} == 2'

run 0 gram "${net[@]}" --data npy:X.npy --out K.npy --progress none
run 0 gram "${net[@]}" --data npy:X.npy --out T.npy --convention neural-tangents --json --progress none
json '$j->{convention} eq "neural-tangents" && $j->{scale} == 2'
grep -q '"convention": *"neural-tangents"' T.npy.json || fail 'the manifest does not name the convention'
perl -0777 -e 'my @v = map { open(my $f, "<:raw", $_) or die; my $all = <$f>;
    [unpack("f<*", substr($all, 10 + unpack("v", substr($all, 8, 2))))] } @ARGV;
  exit 1 unless @{$v[0]} == 144;
  for (0 .. 143) { exit 1 unless $v[1][$_] == 2 * $v[0][$_] }' K.npy T.npy || fail 'not twice the generic values'
run 0 verify T.npy --json --progress none; json '$j->{verified}'
refused 17 gram "${net[@]}" --data npy:X.npy --out T.npy --resume --progress none; err_has 'convention'
run 0 eval "${net[@]}" --convention arora --train npy:X.npy:y.npy --test npy:X.npy:y.npy --json --progress none
json '$j->{convention} eq "arora"'

refused 12 gram --net 'conv3(b=0.1) relu gap' --convention arora --data npy:X.npy --out B.npy; err_has 'layer 1.*bias b'
refused 12 net 'conv3 relu gap' --convention li; err_has 'lap\(c\)'
refused 2 net 'conv3 relu gap' --convention jax
