#!/bin/bash
# shellcheck disable=SC2016
# regress on features: the same predictions as on their kernel, the report, and what is refused.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

# Z is 30 x 8, Zt 9 x 8; K = Z Z^T and Kt = Zt Z^T by hand.
perl -e '
  my $s = 1;
  sub value { $s = ($s * 75 + 74) % 65537; return $s / 65537 - 0.5 }
  my @z = map { [map { unpack("f", pack("f", value())) } 1 .. 8] } 1 .. 39;
  $z[$_][$_ % 3] += 1 for 0 .. 38;
  sub dot { my ($a, $b) = @_; my $t = 0; $t += $a->[$_] * $b->[$_] for 0 .. 7; return $t }
  sub put { my ($name, @v) = @_; open(my $f, ">:raw", $name) or die; print $f @v }
  put("z", map { pack("f<*", @$_) } @z[0 .. 29]);
  put("zt", map { pack("f<*", @$_) } @z[30 .. 38]);
  put("k", map { my $a = $_; map { pack("d<", dot($a, $_)) } @z[0 .. 29] } @z[0 .. 29]);
  put("kt", map { my $a = $_; map { pack("d<", dot($a, $_)) } @z[0 .. 29] } @z[30 .. 38]);
  put("d", map { pack("d<", dot($_, $_)) } @z[30 .. 38])'
npy Z.npy '<f4' '30, 8' <z; npy Zt.npy '<f4' '9, 8' <zt
npy K.npy '<f8' '30, 30' <k; npy Kt.npy '<f8' '9, 30' <kt; npy d.npy '<f8' '9,' <d
labels y.npy 30 3; labels yt.npy 9 3
features=(regress --train-features Z.npy --train-labels y.npy --test-features Zt.npy)
kernels=(regress --train-kernel K.npy --train-labels y.npy --test-kernel Kt.npy --test-diagonal d.npy)

# close64 A B: two float64 arrays of one shape that agree to 1e-6.
close64() {
  perl -0777 -e '
    my @v = map { open(my $f, "<:raw", $_) or die; my $all = <$f>; my $length = unpack("v", substr($all, 8, 2));
                  die unless substr($all, 10, $length) =~ /<f8/; [unpack("d<*", substr($all, 10 + $length))] } @ARGV;
    exit 1 if !@{$v[0]} || @{$v[0]} != @{$v[1]};
    for (0 .. $#{$v[0]}) { exit 1 unless abs($v[0][$_] - $v[1][$_]) <= 1e-6 }' "$@" || fail "$1 and $2 differ"
}

for unit in '' --unit-diagonal; do
  for targets in one-hot centred; do
    # shellcheck disable=SC2086
    run 0 "${kernels[@]}" --test-labels yt.npy --ridge 0.25 --targets $targets $unit --predictions P.npy --json
    accuracy=$(perl -MJSON::PP -0777 -ne 'print JSON::PP->new->decode($_)->{accuracy}' out)
    for form in auto primal dual; do
      # shellcheck disable=SC2086
      run 0 "${features[@]}" --test-labels yt.npy --ridge 0.25 --targets $targets $unit --form $form --predictions Q.npy --json
      err_empty; close64 P.npy Q.npy
      json "abs(\$j->{accuracy} - $accuracy) < 1e-12 && \$j->{ridge} == 0.25 && !defined \$j->{held_out_accuracy}"
    done
    json '$j->{form} eq "dual" && $j->{solver} =~ /dual 30 x 30/'
  done
done
accuracy_of() { perl -MJSON::PP -0777 -ne 'print JSON::PP->new->decode($_)->{accuracy}' "$1"; }
[ "$(accuracy_of out | cut -c1-3)" != 0 ] || fail 'nothing was learned'

run 0 "${features[@]}" --test-labels npy:Zt.npy:yt.npy --predictions Q.npy --weights W.npy --report R.json --held-out 0.3 --json
err_empty
json '$j->{held_out_count} == 9 && $j->{held_out_accuracy} >= 0 && $j->{held_out_error} > 0 && $j->{ridge} > 0'
json '$j->{features} == 8 && $j->{form} eq "primal" && $j->{train_count} == 30 && $j->{test_count} == 9 && $j->{classes} == 3'
json '$j->{timings}{accumulate} > 0 && $j->{accumulate_gflops} > 0 && @{$j->{outputs}} == 3 && $j->{train_features} eq "Z.npy"'
[ "$(stat -c %s W.npy)" -eq $((128 + 8 * 8 * 3)) ] || fail 'the weights are not 8 x 3'
cp out first; run 0 "${features[@]}" --held-out 0.3 --json; json '!defined $j->{accuracy} && $j->{test_count} == 9'
run 0 "${features[@]}" --held-out 0.3 --test-labels yt.npy
out_has '^ridge .*held-out'; out_has '^held out .* of 9'; out_has '^accuracy'; out_has 'primal 8 x 8'
run 0 "${features[@]}" --test-labels yt.npy
out_has '^ridge .*leave-one-out'; out_has '^leave-one-out .*%'; out_has 'dual '

# Usage.
refused 2 regress --train-labels y.npy; err_has 'wants --train-kernel K.npy and --test-kernel K.npy, or --train-features'
refused 2 regress --train-labels y.npy --train-features Z.npy; err_has '\-\-train-features wants --test-features'
refused 2 regress --train-labels y.npy --test-features Z.npy; err_has '\-\-test-features wants --train-features'
refused 2 regress --train-labels y.npy --train-kernel K.npy; err_has '\-\-train-kernel wants --test-kernel'
refused 2 regress --train-features Z.npy --test-features Zt.npy; err_has 'wants --train-labels'
refused 2 "${features[@]}" --train-kernel K.npy; err_has 'exclude each other'
refused 2 "${features[@]}" --variance V.npy; err_has '\-\-variance is for kernel matrices'
refused 2 "${features[@]}" --test-diagonal d.npy; err_has '\-\-test-diagonal is for kernel matrices'
refused 2 "${features[@]}" --solver cuda; err_has 'on the CPU'
refused 2 "${features[@]}" --ridge 1 --held-out 0.2; err_has 'ridge auto'
for option in '--weights W' '--held-out 0.2' '--held-out-seed 3' '--form dual'; do
  # shellcheck disable=SC2086
  refused 2 "${kernels[@]}" $option; err_has "${option%% *} is for features"
done
for value in 0 1 -0.5 1.5 nan x ''; do
  refused 2 "${features[@]}" --held-out="$value"; err_has 'a number between 0 and 1'
done

# Data.
refused 15 "${features[@]/Z.npy/absent.npy}"; err_has 'absent.npy'
head -c 600 Z.npy >cut.npy; refused 14 "${features[@]/Z.npy/cut.npy}"; err_has 'cut.npy is truncated'
bytes $(for ((i = 0; i < 28; ++i)); do echo 0; done) 0 0 192 127 | npy nan.npy '<f4' '1, 8'
refused 14 "${features[@]/Zt.npy/nan.npy}" --ridge 1; err_has 'nan.npy: the value in row 0, column 7 is -?nan'
refused 14 "${features[@]/Zt.npy/Kt.npy}" --ridge 1; err_has 'Z.npy has 8 columns but Kt.npy has 30'
refused 14 "${features[@]/y.npy/yt.npy}" --ridge 1; err_has 'Z.npy has 30 rows but there are 9 training labels'
refused 14 "${features[@]}" --ridge 1 --test-labels y.npy; err_has 'Zt.npy has 9 rows but there are 30 test labels'
refused 14 "${features[@]/Z.npy/y.npy}" --ridge 1; err_has 'y.npy has rank 1'
npy zero.npy '<f4' '1, 8' < <(head -c 32 /dev/zero)
refused 14 "${features[@]/Zt.npy/zero.npy}" --ridge 1 --unit-diagonal; err_has 'row 0 is all zeros'
npy few.npy '<f4' '9, 8' <zt; few=(regress --train-features few.npy --train-labels yt.npy --test-features Zt.npy)
refused 11 "${few[@]}"; err_has 'give a ridge'; run 0 "${few[@]}" --ridge 1
refused 19 "${few[@]}" --ridge 0 --form dual; err_has 'ridge of at least'

# A matrix that ntk itself has not finished, or has.
images X.npy 30 6
run 0 gram --net 'conv3 relu gap' --data npy:X.npy --out G.npy --progress none
run 0 regress --train-features G.npy --train-labels y.npy --test-features G.npy --ridge 1
perl -pi -e 's/"complete": true/"complete": false/; s/^\s*"checksum".*\n//' G.npy.json
perl -0pi -e 's/,\s*\}\s*$/\n}/' G.npy.json
refused 14 regress --train-features G.npy --train-labels y.npy --test-features G.npy --ridge 1; err_has 'G.npy is not complete.*--resume'
