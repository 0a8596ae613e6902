#!/bin/bash
# shellcheck disable=SC2016
# Strided, pooled and residual networks from the command line to verified matrices and predictions.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 24 8; labels y.npy 24 3

for net in 'conv3 relu conv3(stride=2) relu gap' 'conv3(valid) relu conv3 relu lap(1)' 'conv3 relu avgpool2 conv3 relu flatten' \
  'conv3 2*sum(id | relu conv3 relu conv3) relu gap' 'resnet-8' 'conv3 erf avgpool2 conv3 erf gap' \
  '2*(conv3 relu) gap dense relu dense' 'dense sum(id | relu dense) relu dense' 'conv3(width=1) relu conv3(width=8) relu gap'; do
  run 0 gram --net "$net" --data npy:X.npy --preprocess standard --kernel both --out K.npy --overwrite --json
  json '$j->{pairs_computed} == 300'
  run 0 verify K-ntk.npy --json --progress none
  json '$j->{verified} && $j->{max_relative_error} < 1e-6'
done

# The same bits from any tile size and number of threads.
run 0 gram --net 'conv3 sum(id | relu conv3) relu avgpool2 conv3 relu gap' --data npy:X.npy --out A.npy --tile 5 --threads 2
run 0 gram --net 'conv3 sum(id | relu conv3) relu avgpool2 conv3 relu gap' --data npy:X.npy --out B.npy --tile 24 --threads 1
same A.npy B.npy

run 0 eval --net 'conv3 relu avgpool2 conv3 relu gap' --train 'npy:X.npy:y.npy[0:16]' --test 'npy:X.npy:y.npy[16:24]' --json
json '$j->{accuracy} >= 0'

run 0 net 'conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu gap' --shape 3x32x32 --json
json '$j->{entry_layers_per_pair} == 64 * 4096 + 2 * 65536'

refused 12 net 'conv3 relu sum(conv1 | conv3(stride=2)) relu gap' --shape 3x8x8; err_has 'branches of the sum have different shapes'
refused 12 net 'conv3 relu maxpool2 conv3 relu gap'; err_has 'maxpool'
refused 11 gram --net 'conv3 relu avgpool2 conv3 relu gap' --depths 1,2 --data npy:X.npy --out D.npy
err_has 'depth 1 is impossible: activation 1 of this network stands at another resolution'
