#!/bin/bash
# Input that is missing, broken or does not fit: one sentence, the documented exit code, nothing left behind.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

net='conv3 relu gap'
images X.npy 12 6; labels y.npy 12 3
quiet='--progress none --threads 1'
# shellcheck disable=SC2086
gram() { refused "$1" gram --net "$net" --data "$2" --out K.npy $quiet "${@:3}"; missing K.npy; }

# Networks.
for text in '' 'conv3 rleu gap' 'conv2 relu gap' 'conv3 relu' 'conv3 relu maxpool2 gap' '3*(conv3 relu gap' 'no-such-preset'; do
  [ -z "$text" ] || { refused 12 net "$text"; err_has 'column|preset|unknown'; }
done
refused 12 net 'conv3 rleu gap'; err_has 'relu'
refused 12 gram --net 'conv9(valid) relu gap' --data npy:X.npy --out K.npy --progress none; missing K.npy

# DATA texts and files.
gram 11 'no-such-source:train'
gram 11 'npy:X.npy[0:5'
gram 11 'npy:X.npy~x'
gram 15 'npy:absent.npy'; err_has 'absent.npy'
gram 15 'cifar10:absent:train'; err_has 'absent'
gram 14 'npy:X.npy[5:5]'
head -c 400 X.npy >cut.npy; gram 14 npy:cut.npy; err_has 'cut.npy'
echo hello >text.npy; gram 14 npy:text.npy; err_has 'text.npy'
: >empty.npy; gram 14 npy:empty.npy; err_has 'empty.npy'
bytes 0 0 128 63 0 0 192 127 | npy nan.npy '<f4' '2, 1'
refused 14 gram --net 'dense relu dense' --data npy:nan.npy --out K.npy --progress none; err_has 'nan.npy'; missing K.npy
labels short.npy 11 3; gram 14 npy:X.npy:short.npy; err_has '11'
gram 11 npy:X.npy --against 'nonsense'
images other.npy 4 5; gram 14 npy:X.npy --against npy:other.npy; err_has '1x6x6.*1x5x5'

# Places where nothing can be written.
refused 15 gram --net "$net" --data npy:X.npy --out /dev/null/K.npy --progress none
refused 15 gram --net "$net" --data npy:X.npy --out absent/K.npy --progress none; err_has 'absent'
refused 15 eval --net "$net" --train npy:X.npy:y.npy --test npy:X.npy:y.npy --out X.npy/out --progress none; err_has 'X.npy'

# A matrix that is there already is not touched.
run 0 gram --net "$net" --data npy:X.npy --out here.npy --progress none; cp here.npy before.npy
refused 11 gram --net "$net" --data npy:X.npy --out here.npy --progress none; err_has 'here.npy'; same here.npy before.npy
run 0 gram --net "$net" --data npy:X.npy --out here.npy --progress none --overwrite; same here.npy before.npy

# eval.
refused 14 eval --net "$net" --train npy:X.npy --test npy:X.npy:y.npy --progress none; err_has 'no labels'; missing ntk-out
refused 14 eval --net "$net" --train npy:X.npy:y.npy --test npy:other.npy --progress none; err_has '1x6x6.*1x5x5'; missing ntk-out
refused 21 eval --net "$net" --train npy:X.npy:y.npy --test npy:X.npy:y.npy --device cpu --solver cuda --progress none
err_has 'needs a CUDA device'; missing ntk-out

# regress: K is 12 x 12, Kt 5 x 12.
images Z.npy 5 6 9; labels yz.npy 5 3
run 0 gram --net "$net" --data npy:X.npy --out K.npy --progress none
run 0 gram --net "$net" --data npy:Z.npy --against npy:X.npy --out Kt.npy --diagonal dt.npy --progress none
regress() { refused "$1" regress --train-kernel "$2" --train-labels "$3" --test-kernel "$4" "${@:5}"; }
regress 15 absent.npy y.npy Kt.npy; err_has 'absent.npy'
regress 15 K.npy absent.npy Kt.npy; err_has 'absent.npy'
regress 14 Kt.npy y.npy Kt.npy; err_has 'Kt.npy is 5 x 12; the training kernel is a square'
regress 14 K.npy short.npy Kt.npy; err_has 'K.npy is 12 x 12 but there are 11 training labels'
regress 14 K.npy y.npy Kt.npy --test-labels y.npy; err_has 'Kt.npy has 5 rows but there are 12 test labels'
regress 14 K.npy npy:X.npy Kt.npy; err_has 'no labels'
regress 14 K.npy K.npy Kt.npy; err_has 'K.npy'
regress 14 dt.npy y.npy Kt.npy; err_has 'dt.npy has rank 1; a kernel matrix has rank 2'
regress 14 K.npy y.npy Kt.npy --test-diagonal Kt.npy; err_has 'rank 2; a diagonal is a vector'
run 0 gram --net "$net" --data npy:X.npy --against npy:Z.npy --out transposed.npy --progress none
regress 14 K.npy y.npy transposed.npy; err_has 'transposed'
regress 21 K.npy y.npy Kt.npy --device cpu --solver cuda; err_has 'needs a CUDA device'
regress 15 K.npy y.npy Kt.npy --report absent/R.json; err_has 'cannot write absent/R.json'; missing absent
regress 15 K.npy y.npy Kt.npy --predictions absent/P.npy; err_has 'absent/P.npy'
bytes 255 255 255 255 255 255 255 255 | npy minus.npy '<i8' '1,'; regress 14 K.npy minus.npy Kt.npy; err_has 'label'
# Two equal images and no ridge: singular, with a suggestion.
npy twice.npy '|u1' '3, 1, 6, 6' < <(noise 36 1; noise 36 1; noise 36 2); labels yt.npy 3 2
run 0 gram --net "$net" --data npy:twice.npy --out singular.npy --progress none --precision f64
refused 19 regress --train-kernel singular.npy --train-labels yt.npy --test-kernel singular.npy --ridge 0; err_has 'ridge'

# verify: what is no matrix of ours, and one whose values were changed behind its back.
refused 15 verify absent.npy; err_has 'absent.npy'
code=0; "$ntk" verify X.npy >out 2>err || code=$?; [ $code -ge 11 ] || fail "verify of a plain array: exit code $code"
run 0 verify K.npy --samples 20; out_has '20 entries'
size=$(stat -c %s K.npy)
bytes 0 0 0 64 | dd of=K.npy bs=1 seek=$((size - 4)) conv=notrunc status=none
code=0; "$ntk" verify K.npy --samples 2000 >out 2>err || code=$?
[ $code -eq 1 ] || [ $code -eq 18 ] || fail "verify of a damaged matrix: exit code $code"
