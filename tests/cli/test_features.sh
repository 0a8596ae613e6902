#!/bin/bash
# shellcheck disable=SC2016
# Features from the command line: files, resuming, eval, what is refused.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

# 900 vectors of 12 numbers in three clusters.
perl -e '
  my $s = 1;
  sub value { $s = ($s * 75 + 74) % 65537; return $s / 65537 - 0.5 }
  open(my $x, ">:raw", "x") or die; open(my $y, ">:raw", "yy") or die;
  for my $i (0 .. 899) { my $c = int(3 * (value() + 0.5)); print $y pack("l<", $c);
    print $x pack("f<", value() + ($_ % 3 == $c ? 1 : 0)) for 0 .. 11 }'
npy X.npy '<f4' '900, 12' <x; npy y.npy '<i4' '900,' <yy
net=(--net '2*(dense relu) dense')

run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out Z.npy --json
err_has '^ntk: 2.*600 features of 900 records'
json '$j->{verb} eq "features" && $j->{dim} == 600 && $j->{sketch_dim} == 375 && $j->{order0_dim} == 225'
json '$j->{method} eq "rf" && $j->{report}{rows} == 900 && $j->{report}{rows_computed} == 900 && $j->{random_bytes} > 0'
json '$j->{report}{thread_seconds_products} > 0 && $j->{product_flops_per_record} > 0'
[ "$(stat -c %s Z.npy)" -eq $((128 + 900 * 600 * 4)) ] || fail 'Z.npy is not 900 x 600'
grep -q '"seed": *"0"' Z.npy.json || fail 'the manifest does not name the seed'

# The same features with one thread and little memory; others with another seed; a part of the data has the same rows.
run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out Z1.npy --threads 1 --memory 64MiB
same Z.npy Z1.npy
run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out Z2.npy --seed 1
cmp -s Z.npy Z2.npy && fail 'the seed changes nothing'
run 0 features "${net[@]}" --data 'npy:X.npy[700:900]' --dim 600 --out Z3.npy
cmp -s <(tail -c $((200 * 600 * 4)) Z.npy) <(tail -c $((200 * 600 * 4)) Z3.npy) || fail 'rows depend on their neighbours'

# Files are kept, resumed and replaced like matrices.
run 11 features "${net[@]}" --data npy:X.npy --dim 600 --out Z.npy
err_has 'resume'
run 17 features "${net[@]}" --data npy:X.npy --dim 600 --out Z.npy --seed 2 --resume
err_has 'features'
run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out Z.npy --resume --json
json '$j->{report}{rows_resumed} == 900 && $j->{report}{rows_computed} == 0'
run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out Z.npy --overwrite --leverage --json
json '$j->{sampling} eq "leverage"'
run 0 features "${net[@]}" --data npy:X.npy --dim 600 --out P.npy --plain --json
json '$j->{plain} && $j->{dim} == 600'
cmp -s P.npy Z1.npy && fail '--plain changes nothing'
run 17 features "${net[@]}" --data npy:X.npy --dim 600 --out P.npy --resume
err_has 'plain'
run 11 verify Z.npy
err_has 'random features'

# Both roads learn the clusters.
data=(--train 'npy:X.npy:y.npy[0:600]' --test 'npy:X.npy:y.npy[600:900]')
run 0 eval "${net[@]}" "${data[@]}" --method rf --dim 512 --out rf --json
json '$j->{accuracy} > 0.9 && $j->{held_out_count} == 600 && $j->{ridge} > 0 && $j->{mean_squared_error} < 0.2'
json '$j->{leave_one_out} && $j->{form} eq "dual" && $j->{train_features}{rows} == 600 && $j->{seconds} > 0 && -e $j->{train_file}'
cp out first; run 0 eval "${net[@]}" "${data[@]}" --method rf --dim 512 --out rf --resume --json
json '$j->{train_features}{rows_resumed} == 600'
[ -s rf/report.json ] || fail 'no report'
run 0 eval "${net[@]}" "${data[@]}" --method rf --dim 512 --out rf --resume --held-out 0.1 --json
json '!$j->{leave_one_out} && $j->{form} eq "primal" && $j->{held_out_count} == 60 && $j->{accuracy} > 0.9'
run 0 eval "${net[@]}" "${data[@]}" --method sketch --dim 2048 --ridge 0.01 --out sketch
out_has '2,048 .*%'; out_has '^test '; out_has 'regression'
run 0 eval "${net[@]}" "${data[@]}" --method sketch --dim 2048 --ridge 0.01 --out sketch --resume --json
json '$j->{accuracy} > 0.9 && $j->{form} eq "dual" && !defined $j->{held_out_accuracy}'

# Refused, with one sentence that says what to do.
refused() { # CODE PATTERN ARGUMENTS
  local code=$1 pattern=$2
  shift 2
  run "$code" "$@"
  err_has "$pattern"; out_empty
  [ "$(grep -vc ' features of ' err)" -eq 1 ] || fail 'more than one line'
}
refused 2 'ends in .npy' features "${net[@]}" --data npy:X.npy --out Z
refused 2 '--leverage' features "${net[@]}" --data npy:X.npy --out N.npy --gibbs
refused 2 'dim - 2' features "${net[@]}" --data npy:X.npy --out N.npy --dim 64 --sketch-dim 63
refused 2 '--dim' features "${net[@]}" --data npy:X.npy --out N.npy --dim 3
refused 13 'layer 2' features --net 'dense gelu dense' --data npy:X.npy --out N.npy --leverage
refused 13 'method rf' features --net 'dense gelu dense' --data npy:X.npy --out N.npy --method sketch
refused 11 'leave them out' features "${net[@]}" --data npy:X.npy --out N.npy --method sketch --leverage
refused 12 'vectors' features --net 'conv3 relu gap' --data npy:X.npy --out N.npy
refused 16 'raise --memory' features "${net[@]}" --data npy:X.npy --out N.npy --dim 16384 --memory 16MiB
refused 2 'method rf' eval "${net[@]}" "${data[@]}" --dim 64 --out no
refused 2 'method exact' eval "${net[@]}" "${data[@]}" --method rf --kernel both --out no
refused 2 'method exact' eval "${net[@]}" "${data[@]}" --method rf --depths 1 --out no
refused 2 'ridge auto' eval "${net[@]}" "${data[@]}" --method rf --ridge 1 --held-out 0.2 --out no
[ ! -e N.npy ] || fail 'a refused run left a file'
[ ! -e no ] || fail 'a refused run left a folder'
perl -e 'open(my $f, "+<:raw", "X.npy") or die; seek($f, 128 + 5000, 0); print $f pack("V", 0x7fc00000)'
refused 14 'finite' features "${net[@]}" --data npy:X.npy --out N.npy
