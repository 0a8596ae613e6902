#!/bin/bash
# shellcheck disable=SC2016
# Stopping in the middle, by Ctrl-C, SIGTERM or kill -9, loses nothing: --resume ends in the same bytes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

# Long enough to be caught in the middle on this machine, whatever it is: the plainest build of the kernels, one thread,
# small tiles, and as many images as take a second and a half.
job=(gram --net '4*(conv3 relu) gap' --data npy:X.npy --threads 1 --isa baseline --precision f64 --tile 4)
count=5
elapsed=0
while [ $elapsed -lt 1500 ] || [ $count -lt 12 ]; do
  count=$((count + count / 2))
  images X.npy $count 14
  start=$(date +%s%N)
  run 0 "${job[@]}" --out whole.npy --progress none --overwrite
  elapsed=$((($(date +%s%N) - start) / 1000000))
done
pairs=$((count * (count + 1) / 2))
images other.npy $count 14 2

# interrupt SIGNAL CODE OUT: starts the job, and sends the signal when some tiles of 4 x 4 pairs must be finished.
interrupt() {
  local code=0
  mkfifo "$3.progress"
  set -m # so that the job does not start with SIGINT ignored
  "$ntk" "${job[@]}" --out "$3" --progress json >"$3.out" 2>"$3.progress" &
  local pid=$!
  set +m
  {
    sed -unE '/"done":([4-9][0-9]|[0-9]{3,}),/q'
    kill "-$1" $pid
    cat >"$3.err"
  } <"$3.progress"
  { wait $pid; } 2>/dev/null || code=$?
  [ $code -eq "$2" ] || fail "$1: exit code $code instead of $2"
}

interrupt INT 130 int.npy
[ ! -s int.npy.out ] || fail "stdout is not empty after Ctrl-C"
grep -q "^ntk: interrupted; finished tiles are kept, go on with: .*ntk gram --net '4\*(conv3 relu) gap' .*--resume$" int.npy.err ||
  fail "no word how to resume: $(cat int.npy.err)"
cmp -s int.npy whole.npy && fail 'the run was not stopped in the middle'
refused 11 "${job[@]}" --out int.npy --progress none # without --resume nothing is touched
refused 17 gram --net '3*(conv3 relu) gap' --data npy:X.npy --isa baseline --precision f64 --out int.npy --resume --progress none
err_has 'network'
refused 17 gram --net '4*(conv3 relu) gap' --data npy:other.npy --isa baseline --precision f64 --out int.npy --resume --progress none
err_has 'data|rows'
refused 17 gram --net '4*(conv3 relu) gap' --data npy:X.npy --isa baseline --precision f32 --out int.npy --resume --progress none
err_has 'precision'
command=$(sed -n 's/^ntk: interrupted.*go on with: //p' int.npy.err)
eval "$command" >out 2>err || fail 'the command that was printed does not resume'
out_has 'pairs were there'
same int.npy whole.npy

interrupt TERM 143 term.npy
run 0 "${job[@]}" --out term.npy --resume --progress none --json
json "\$j->{pairs} == $pairs && \$j->{pairs_resumed} > 0 && \$j->{pairs_resumed} + \$j->{pairs_computed} == $pairs"
same term.npy whole.npy

interrupt KILL 137 kill.npy
run 0 "${job[@]}" --out kill.npy --resume --progress none --tile 8 # the tile size of the first run stays
same kill.npy whole.npy

# A finished matrix resumes as done; a fresh path resumes as a beginning.
run 0 "${job[@]}" --out whole.npy --resume --progress none --json; json '$j->{pairs_computed} == 0'
run 0 "${job[@]}" --out fresh.npy --resume --progress none; same fresh.npy whole.npy

# The file-size limit stands for a full disk: refused in words, and resumable.
code=0; (ulimit -f 1; "$ntk" "${job[@]}" --out full.npy --progress none) >out 2>err || code=$?
[ $code -eq 15 ] || fail "a full disk: exit code $code"
err_has 'full.npy'
run 0 "${job[@]}" --out full.npy --resume --progress none; same full.npy whole.npy

# eval: stopped in its first matrix, it goes on to the same result.
labels y.npy $count 3
job=(eval --net '4*(conv3 relu) gap' --train npy:X.npy:y.npy --test 'npy:X.npy:y.npy[0:9]' --threads 1 --isa baseline --precision f64)
run 0 "${job[@]}" --out whole --progress none
interrupt INT 130 part
grep -q -- '--out part --progress json --resume$' part.err || fail "no word how to resume: $(cat part.err)"
run 0 "${job[@]}" --out part --resume --progress none
same part/train.npy whole/train.npy; same part/test.npy whole/test.npy
