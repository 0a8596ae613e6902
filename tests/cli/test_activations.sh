#!/bin/bash
# shellcheck disable=SC2016
# Networks with other activations than ReLU, from the command line to the matrix.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

images X.npy 30 6; labels y.npy 30 3

for s in 'leaky(0.2)' abs erf gelu 'sin(b=0.5)' rbf 'exp(b=0.1)' sign 'hermite(2)' 'monomial(2)' 'series(1, 0.5)' tanh sigmoid silu \
  softplus elu selu expnorm; do
  run 0 gram --net "dense(b=0.3) $s dense relu dense" --data npy:X.npy --preprocess standard --out K.npy --overwrite --json
  json '$j->{pairs_computed} == 465'
  run 0 verify K.npy --json --progress none
  json '$j->{verified} && $j->{max_relative_error} < 1e-7'
done

# flatten leads to the same matrix as vectors do; other words for one network too.
run 0 gram --net 'flatten 2*(dense swish) dense' --data npy:X.npy --out A.npy --precision f64
run 0 gram --net '2*(dense silu) dense' --data npy:X.npy --out B.npy --precision f64
same A.npy B.npy

run 0 eval --net '2*(dense(W=1.2) gelu(c=auto)) dense' --train 'npy:X.npy:y.npy[0:20]' --test 'npy:X.npy:y.npy[20:30]' --json
json '$j->{accuracy} >= 0 && $j->{network} eq "2*(dense(W=1.2) gelu(c=auto)) dense"'

run 0 net 'dense elu(a=0.5) dense series(0, 1, 0, 0) dense' --json
json '$j->{layers} =~ /elu\(a=0\.5\) / && $j->{layers} =~ /series\(0, 1\) / && $j->{activation_layers} == 2'

run 14 gram --net '6*(dense(W=5) exp) dense' --data npy:X.npy --out bad.npy
err_has 'variance of input [0-9]+ is not finite or above 1e\+100.*scale the data or the weights'
refused 12 net 'dense mish dense'; err_has "did you mean 'silu'"
refused 12 net 'dense series(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1) dense'; err_has 'at most 16 values'
