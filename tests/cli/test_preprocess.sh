#!/bin/bash
# --preprocess: every mode end to end, the files of fitted ones, what is refused.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

net='conv3 relu gap'
quiet='--progress none --threads 1'
images X.npy 30 6; labels y.npy 30 3; images T.npy 7 6 5; images Y.npy 9 5
# shellcheck disable=SC2086
gram() { run "$1" gram --net "$net" --data "npy:$2" --out "$3" $quiet "${@:4}"; }
# shellcheck disable=SC2086
refuse() { refused "$1" gram --net "$net" --data "npy:$2" --out "$3" $quiet "${@:4}"; }
checksum() { cksum <"$1"; }

# Modes without a file.
for mode in none standard unit image; do
  gram 0 X.npy "$mode.npy" --preprocess "$mode" --json
  json "\$j->{preprocess} =~ /^$mode/ && \$j->{preprocess_file} eq ''"
  missing "$mode.preprocess.npy"
  run 0 verify "$mode.npy"
done

# A fitted one lies beside the matrix, is taken again by --resume, and belongs to the columns' set.
gram 0 X.npy K.npy --preprocess 'zca(eps=1e-3)' --json
json '$j->{preprocess} =~ /^zca\(eps=0.001,before=image\) shape=1x6x6 train=/ && $j->{preprocess_file} =~ m{^/.*/K.preprocess.npy$}'
run 0 verify K.npy
before=$(checksum K.npy)
file=$(checksum K.preprocess.npy)
gram 0 X.npy K.npy --preprocess 'zca(eps=0.001)' --resume
[ "$(checksum K.npy) $(checksum K.preprocess.npy)" = "$before $file" ] || fail "resuming changed something"
gram 0 T.npy C.npy --against npy:X.npy --preprocess 'zca(eps=1e-3)'
same C.preprocess.npy K.preprocess.npy
gram 0 T.npy D.npy --preprocess 'zca(eps=1e-3)' --preprocess-from npy:X.npy
same D.preprocess.npy K.preprocess.npy
gram 0 T.npy E.npy --against npy:X.npy --preprocess zca:K.preprocess.npy --json
json '$j->{preprocess_file} =~ m{/K.preprocess.npy$}'
missing E.preprocess.npy
same E.npy C.npy
run 0 verify E.npy

# Bits depend on neither threads nor tiles.
gram 0 X.npy F.npy --preprocess zca:K.preprocess.npy --tile 7 --threads 2
same F.npy K.npy

# eval fits to --train.
# shellcheck disable=SC2086
run 0 eval --net "$net" --train npy:X.npy:y.npy --test npy:T.npy --preprocess 'zca(eps=1e-3)' --out dir $quiet --json
json '$j->{preprocess_file} =~ m{/dir/preprocess.npy$}'
same dir/preprocess.npy K.preprocess.npy
run 0 verify dir/test.npy

# Another fit does not go under an old name, unless it may.
refuse 17 X.npy K.npy --preprocess 'zca(eps=1)' --resume
err_has 'other options'
[ "$(checksum K.preprocess.npy)" = "$file" ] || fail "a refusal changed the file"
refuse 17 T.npy K.npy --preprocess 'zca(eps=1e-3)' --resume
refuse 17 X.npy K.npy --preprocess standard --resume
gram 0 X.npy K.npy --preprocess 'zca(eps=1)' --overwrite
[ "$(checksum K.preprocess.npy)" != "$file" ] || fail "--overwrite kept the file"
run 0 verify K.npy
refused 17 verify E.npy # which was computed with what the file held before
err_has 'K.preprocess.npy is not the preprocessing'

# Random patches change the shape of the records; their filters depend on neither threads nor --memory.
patches='patches(count=3,size=3,sample=40,seed=5)'
gram 0 X.npy P.npy --preprocess "$patches" --json
json '$j->{preprocess} =~ /^patches\(count=3,size=3,eps=0.001,seed=5,threshold=1,sample=40,before=none\) shape=1x6x6 /'
perl -MJSON::PP -0777 -ne 'exit(join("x", @{decode_json($_)->{identity}{rows}{shape}}) eq "12x4x4" ? 0 : 1)' P.npy.json ||
  fail "the manifest does not have the shape 12x4x4"
run 0 verify P.npy
gram 0 X.npy Q.npy --preprocess patches:P.preprocess.npy --threads 2 --tile 5
same P.npy Q.npy
gram 0 T.npy R.npy --preprocess "$patches" --preprocess-from npy:X.npy --threads 2 --memory 1GiB
same R.preprocess.npy P.preprocess.npy
# shellcheck disable=SC2086
run 0 eval --net "$net" --train npy:X.npy:y.npy --test npy:T.npy --preprocess "$patches" --out pdir $quiet
same pdir/preprocess.npy P.preprocess.npy
run 0 verify pdir/test.npy
refuse 16 X.npy N.npy --preprocess 'patches(count=40000,size=3)' --memory 64MiB
err_has 'raise --memory to'
rm -f N.preprocess.npy N.preprocess.npy.json

# Bad input.
refuse 11 X.npy N.npy --preprocess 'patches(size=7)'
err_has 'images of 6 x 6'
noise 40 | npy V.npy '|u1' '4, 10'
refuse 11 V.npy N.npy --preprocess patches
err_has 'vectors of 10'
refuse 17 X.npy N.npy --preprocess zca:P.preprocess.npy
refuse 2 X.npy N.npy --preprocess 'patches(sample=9)'

refuse 11 Y.npy N.npy --preprocess zca:K.preprocess.npy
err_has '1 x 6 x 6'
refuse 15 X.npy N.npy --preprocess zca:none.preprocess.npy
head -c 2000 K.preprocess.npy >short.npy; cp K.preprocess.npy.json short.npy.json
refuse 14 X.npy N.npy --preprocess zca:short.npy
err_has 'short.npy'
cp K.npy short.npy
refuse 18 X.npy N.npy --preprocess zca:short.npy
refuse 2 X.npy N.npy --preprocess 'zca(eps=0)'
err_has 'above 0'
refuse 2 X.npy N.npy --preprocess 'whiten'
err_has 'none, standard'
missing N.npy
missing N.preprocess.npy
