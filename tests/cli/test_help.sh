#!/bin/bash
# shellcheck disable=SC2013,SC2094
# Help, version, and what happens to output that cannot be written.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

run 0 help; err_empty; out_has '^usage: ntk VERB'; out_has 'exit codes'
cp out help; run 0 --help; same out help
run 0 --version; err_empty; out_has '^ntk [0-9]+\.[0-9]+\.[0-9]+$'

for verb in eval gram regress net info verify bench; do
  run 0 help; out_has "^  $verb "
  run 0 $verb --help; err_empty
  out_has "^usage: ntk $verb"; out_has '^examples'; out_has '^exit codes'; out_has '^  --json'
  [ "$(grep -c "^  ntk $verb" out)" -ge 2 ] || fail "fewer than two examples of $verb"
  [ "$(awk 'length > 112' out | wc -l)" -eq 0 ] || fail "too wide a line in the help of $verb"
  cp out help; run 0 help $verb; same out help
  run 0 $verb -h; same out help
done

# Every option that --help names is accepted by the parser (with a value that is refused, if it takes one).
for verb in eval gram regress net verify bench; do
  run 0 $verb --help; cp out help
  for option in $(sed -n 's/^  --\([a-z-]*\) .*/\1/p' help | sort -u); do
    run 2 $verb "--$option=" --no-such-option
    if grep -q 'unknown option --'"$option" err; then fail "$verb does not know --$option"; fi
  done
done

code=0; "$ntk" help >/dev/full 2>err || code=$?
[ $code -eq 15 ] || fail "a full disk on stdout: exit code $code"
err_has 'cannot write to the standard output: No space left'
code=0; "$ntk" help >&- 2>err || code=$?
[ $code -eq 15 ] || fail "a closed stdout: exit code $code"
err_has 'the standard output is closed'

# A pipe whose reader is gone: neither silence nor a death by signal.
mkfifo pipe
exec 5<>pipe 6>pipe 5<&-
code=0; "$ntk" help >&6 2>err || code=$?
exec 6>&-
[ $code -eq 15 ] || fail "a broken pipe: exit code $code"
err_has 'cannot write to the standard output: Broken pipe'
