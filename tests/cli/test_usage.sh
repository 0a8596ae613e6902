#!/bin/bash
# shellcheck disable=SC2016,SC2258
# Wrong usage: exit code 2, one sentence with the nearest word, nothing on stdout.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

refused 2; err_has 'which verb\?'
refused 2 evla; err_has 'did you mean `ntk eval`\?'
refused 2 xyzzy; err_has 'unknown verb "xyzzy" \(see `ntk --help`\)'
refused 2 help evla; err_has 'did you mean'

refused 2 gram --tread 3; err_has 'unknown option --tread of `ntk gram`; did you mean --threads\? \(see `ntk gram --help`\)'
refused 2 gram --qqqqqq; err_has 'unknown option --qqqqqq of `ntk gram` \('
refused 2 gram -x; err_has 'unknown option -x'
refused 2 gram --threads; err_has '\-\-threads wants N after it'
refused 2 gram --json=1; err_has '\-\-json takes no value'
refused 2 gram --re; err_has 'unknown|did you mean|wants' # a unique prefix is accepted, then --net is missing
refused 2 gram --pre x; err_has 'ambiguous'

refused 2 gram --data x --out K.npy; err_has 'wants --net NET'
refused 2 gram --net x --out K.npy; err_has 'wants --data DATA'
refused 2 gram --net x --data x --out K; err_has 'ends in .npy'
refused 2 gram --net x --data x --out K.npy --resume --overwrite; err_has 'exclude each other'
refused 2 gram --net x --data x --out K.npy extra; err_has '"extra" is one argument too many'
refused 2 eval --net x --train x; err_has 'wants --test DATA'
refused 2 eval --net '' --train x --test x; err_has 'not an empty text'
refused 2 verify; err_has 'wants K.npy'
refused 2 net; err_has 'wants a network'
refused 2 bench --shape 100; err_has 'wants images'
refused 2 regress --train-kernel K --train-labels y --test-kernel K --variance V; err_has 'needs --test-diagonal'
refused 2 regress --train-kernel K --train-labels y --test-kernel K --unit-diagonal; err_has 'needs --test-diagonal'

for value in -1 1025 2.5 3x '' 99999999999999999999; do
  refused 2 gram --threads="$value"; err_has 'a whole number from 0 to 1024'
done
for value in 0 1MiB 4XiB -1GiB GiB nan inf; do
  refused 2 gram --memory="$value"; err_has 'a size such as'
done
for value in '' , 3, ,3 3,,4 a 3,-1 0; do
  refused 2 gram --depths="$value"; err_has 'whole numbers from 1'
done
for value in '' x 3x 3x4 3x4x5x6 0x4x4 -1 3X4X5; do
  refused 2 net --shape="$value" relu; err_has 'channels x height x width'
done
for value in '' nt ntk,nngp NTK 'ntk|nngp'; do
  refused 2 gram --kernel="$value"; err_has 'one of ntk\|nngp\|both'
done
for value in '' -1 abc 1e400 nan; do
  refused 2 eval --ridge="$value"; err_has 'auto or a number'
done
refused 2 gram --isa sse; refused 2 gram --progress loud; refused 2 gram --precision f16; refused 2 gram --preprocess zcax
refused 2 verify --samples 0 K.npy; refused 2 verify --seed -1 K.npy
