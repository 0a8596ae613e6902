#!/bin/bash
# shellcheck disable=SC2016
# --json: one object on stdout and nothing else, with the promised keys; the other channels for people.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 30 6; labels y.npy 30 3; images Z.npy 9 6 5; labels z.npy 9 3

run 0 info --json; err_empty; json '$j->{version} && $j->{cores} >= 1 && $j->{isa} && $j->{cuda}'
run 0 net '3*(conv3 relu) gap' --json; err_empty
json '$j->{network} eq "3*(conv3 relu) gap" && $j->{activation_layers} == 3 && $j->{predicted_seconds}{1000} > 0'
json 'join("x", @{$j->{shape}}) eq "3x32x32" && @{$j->{outputs}} == 1'
run 0 net '3*(dense relu) dense' --json; json 'join("x", @{$j->{shape}}) eq "100"'
run 0 net '3*(conv3 relu) gap' --shape 1x7x5 --lap 0,2 --kernel both --json
json '@{$j->{outputs}} == 4 && $j->{outputs}[3]{pool} == 2 && $j->{outputs}[3]{name} =~ /nngp/'
run 0 net --presets --json; json '@{$j->{presets}} > 3 && $j->{presets}[0]{pattern} && $j->{presets}[0]{description}'

run 0 gram --net '2*(conv3 relu) gap' --data npy:X.npy --out K.npy --json --progress json
json '$j->{pairs} == 465 && $j->{pairs_computed} == 465 && $j->{symmetric} && $j->{outputs}[0]{path} eq "K.npy"'
perl -MJSON::PP -ne 'next if /^ntk: /; my $j = JSON::PP->new->decode($_); $n++; $last = $j;
  END { exit($n && $last->{done} == $last->{total} ? 0 : 1) }' err || fail 'progress is not JSON lines that reach the end'
run 0 gram --net '2*(conv3 relu) gap' --data npy:Z.npy --against npy:X.npy --out Kt.npy --diagonal d.npy --json --progress none
err_empty; json '$j->{rows} == 9 && $j->{columns} == 30 && $j->{pairs} == 270 && !$j->{symmetric}'

run 0 verify K.npy --json --progress none; err_empty
json '$j->{verified} && $j->{entries} == 100 && $j->{max_relative_error} <= $j->{tolerance}'

run 0 regress --train-kernel K.npy --train-labels y.npy --test-kernel Kt.npy --test-labels z.npy --test-diagonal d.npy \
  --predictions P.npy --variance V.npy --report R.json --json
err_empty; json '$j->{accuracy} >= 0 && $j->{accuracy} <= 1 && defined $j->{ridge} && $j->{seconds} >= 0'
json '$j->{train_count} == 30 && $j->{test_count} == 9 && $j->{classes} == 3 && @{$j->{outputs}} == 3'
accuracy=$(perl -MJSON::PP -0777 -ne 'print JSON::PP->new->decode($_)->{accuracy}' out)
cp R.json out; json "abs(\$j->{accuracy} - $accuracy) < 1e-12"
for file in P.npy V.npy; do [ -s $file ] || fail "$file is missing"; done
run 0 regress --train-kernel K.npy --train-labels npy:X.npy:y.npy --test-kernel Kt.npy --json
json '!defined $j->{accuracy}'

# eval does what gram and regress do.
run 0 eval --net '2*(conv3 relu) gap' --train npy:X.npy:y.npy --test npy:Z.npy:z.npy --json --progress none
err_empty; json "abs(\$j->{accuracy} - $accuracy) < 1e-12 && @{\$j->{outputs}} == 1 && \$j->{seconds} > 0"
json '$j->{outputs}[0]{train_kernel} eq "ntk-out/train.npy" && $j->{pairs} == 465 + 270'
same K.npy ntk-out/train.npy; same Kt.npy ntk-out/test.npy; same d.npy ntk-out/test-diagonal.npy
cp ntk-out/report.json out; json '$j->{verb} eq "eval"'
# Many kernels from one pass; the matrices are those of a pass of their own, each within the stated error of the truth.
run 0 eval --net '3*(conv3 relu) lap(1)' --train npy:X.npy:y.npy --test npy:Z.npy:z.npy --depths 2,3 --lap 1,2 --kernel both \
  --out many --json --progress none
json '@{$j->{outputs}} == 8 && (grep { $_->{name} eq $j->{selected} } @{$j->{outputs}}) == 1'
path=$(perl -MJSON::PP -0777 -ne '
  for (@{JSON::PP->new->decode($_)->{outputs}}) { print $_->{train_kernel} if $_->{kernel} eq "nngp" && $_->{depth} == 2 && $_->{pool} == 2 }' out)
run 0 gram --net '2*(conv3 relu) lap(2)' --kernel nngp --data npy:X.npy --out one.npy --progress none
close one.npy "$path" 2.1e-6

run 0 bench --quick --shape 1x6x6 --json; err_empty; json '@{$j->{results}} >= 12 && $j->{results}[0]{pairs_per_second} > 0'

# A failure leaves stdout empty, also with --json.
refused 15 gram --net 'conv3 relu gap' --data npy:absent.npy --out A.npy --json
refused 12 net 'conv3 rleu' --json
refused 2 net --shap 3 --json
