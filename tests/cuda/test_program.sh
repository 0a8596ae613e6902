# The program ntk with --device cuda, on the stand-in device. Argument: the program.
set -u
ntk=$1
folder=$(mktemp -d /tmp/ntk-cuda-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() { echo "FAILED: $1"; exit 1; }

"$ntk" info | grep -q 'stand-in device' || fail "info names the device"

data='fashion-mnist:test'
"$ntk" gram --net 'conv3 relu flatten' --data "$data[0:2]" --out probe.npy --progress none 2>probe.txt || {
  grep -q 'fashion' probe.txt && { echo "skipped: no Fashion-MNIST here"; exit 77; }
  cat probe.txt
  fail "a small matrix"
}

# A matrix with duplicates (the test images against themselves), on the device and on the CPU.
net='3*(conv3 relu) flatten'
"$ntk" gram --device cuda --net "$net" --data "$data[0:24]" --tile 8 --out cuda.npy --progress none || fail "gram on the device"
"$ntk" gram --device cpu --net "$net" --data "$data[0:24]" --out cpu.npy --progress none || fail "gram on the CPU"
grep -q '"cuda sm_90"' cuda.npy.json || fail "the manifest names the engine"
"$ntk" verify cuda.npy --device cpu --samples 200 --json >verify.json || fail "verify"

# Tiles, devices and parts change no bit.
NTK_SHIM_DEVICES=2 "$ntk" gram --device cuda:1,0 --net "$net" --data "$data[0:24]" --tile 5 --out two.npy --progress none ||
  fail "two devices"
cmp -s cuda.npy two.npy || fail "two devices, other tiles: other bits"
NTK_SHIM_MEMORY=3000000 "$ntk" gram --device cuda --net "$net" --data "$data[0:24]" --tile 24 --out parts.npy --progress none ||
  fail "a device with little memory"
cmp -s cuda.npy parts.npy || fail "parts of tiles: other bits"

# Averages over mirror images beside the plain kernel, whose bits stay those of a run of its own.
for flip in plain both average; do
  memory=4000000000
  [ $flip = average ] && memory=3000000
  NTK_SHIM_MEMORY=$memory "$ntk" gram --device cuda --net "$net" --data "$data[0:11]" --flip $flip --tile 7 --out $flip.npy \
    --progress none || fail "--flip $flip"
done
cmp -s plain.npy both-ntk.npy || fail "the plain kernel beside flips: other bits"
cmp -s average.npy both-ntk-flip.npy || fail "flips with little memory: other bits"
"$ntk" verify average.npy --device cpu --samples 100 --json >verify.json || fail "verify of flips"
# A network in stages: duplicates, against the CPU; tiles, devices and parts change no bit.
stages='conv3 relu avgpool4 conv3 sum(id | relu conv3(b=0.1)) relu flatten'
"$ntk" gram --device cuda --net "$stages" --data "$data[0:12]" --tile 4 --out st.npy --progress none || fail "stages"
"$ntk" verify st.npy --device cpu --samples 60 --json >verify.json || fail "verify of stages"
grep -q '"cuda sm_90"' st.npy.json || fail "the manifest names the engine of stages"
NTK_SHIM_DEVICES=2 NTK_SHIM_MEMORY=12000000 "$ntk" gram --device cuda:1,0 --net "$stages" --data "$data[0:12]" --tile 7 \
  --out st7.npy --progress none || fail "stages on two devices with little memory"
cmp -s st.npy st7.npy || fail "stages, other tiles: other bits"
"$ntk" gram --device cuda --net "$stages" --data "$data[0:12]" --flip both --tile 5 --out stf.npy --progress none || fail "flips"
cmp -s st.npy stf-ntk.npy || fail "stages beside their flips: other bits"
"$ntk" verify stf-ntk-flip.npy --device cpu --samples 60 --json >verify.json || fail "verify of flips of stages"
# Other activations, behind the readout too.
smooth='conv3 erf avgpool4 conv3 gelu flatten dense relu dense'
"$ntk" gram --device cuda --net "$smooth" --data "$data[0:6]" --flip both --tile 4 --out sm.npy --progress none || fail "erf"
"$ntk" verify sm-ntk.npy --device cpu --samples 20 --json >verify.json || fail "verify of erf"
"$ntk" verify sm-ntk-flip.npy --device cpu --samples 20 --json >verify.json || fail "verify of flips of erf"
grep -q '"cuda sm_90"' sm-ntk.npy.json || fail "the manifest names the engine of erf"

# Fully connected networks: all depths at once, against the CPU; tiles change no bit; a library that fails.
dense='4*(dense relu) dense'
"$ntk" gram --device cuda --net "$dense" --data "$data[0:70]" --depths 1,3,4 --out fc.npy --progress none || fail "dense"
"$ntk" verify fc-ntk-depth3.npy --device cpu --samples 200 --json >verify.json || fail "verify of dense layers"
"$ntk" gram --device cuda --net "$dense" --data "$data[0:70]" --depths 1,3,4 --tile 9 --out fc9.npy --progress none ||
  fail "dense layers in small tiles"
cmp -s fc-ntk-depth3.npy fc9-ntk-depth3.npy || fail "dense layers, other tiles: other bits"

# The regression on the device: the same accuracy, and the report says where.
for solver in cpu cuda; do
  "$ntk" eval --device cuda --net "$dense" --train "$data[0:80]" --test "$data[80:120]" --solver $solver --out "$solver" \
    --progress none --json >"$solver.json" || fail "eval --solver $solver"
done
grep -q 'cuSOLVER' cuda.json || fail "the report names the solver"
accuracy() { grep -o '"accuracy": *[0-9.e+-]*' "$1" | head -n 1; }
[ "$(accuracy cpu.json)" = "$(accuracy cuda.json)" ] || fail "another accuracy with the device's solver"

# Random features: the CPU's numbers to rounding, the same bits on several devices with little memory and when resumed.
rf=(features --net 'conv3(stride=4, same) relu conv3 relu gap dense' --data "$data[0:9]" --dim 64 --progress none)
"$ntk" "${rf[@]}" --device cuda --out zg.npy || fail "features on the device"
"$ntk" "${rf[@]}" --device cpu --out zc.npy || fail "features on the CPU"
grep -q '"cuda sm_90"' zg.npy.json || fail "the manifest names the engine of features"
perl -e 'my @z = map { local $/; open(my $f, "<:raw", $_) or die; [unpack("f<*", substr(<$f>, 128))] } @ARGV;
  my ($error, $square) = (0, 0);
  for (0 .. $#{$z[0]}) { $error += ($z[0][$_] - $z[1][$_]) ** 2; $square += $z[1][$_] ** 2 }
  exit !(@{$z[0]} == 9 * 64 && $square > 0 && $error < 1e-10 * $square)' zg.npy zc.npy || fail "other features on the device"
NTK_SHIM_DEVICES=2 NTK_SHIM_MEMORY=10000000 "$ntk" "${rf[@]}" --device cuda:1,0 --out z2.npy || fail "features on two devices"
cmp -s zg.npy z2.npy || fail "features on two devices: other bits"
got=0
NTK_SHIM_MEMORY=4000000 "$ntk" "${rf[@]}" --device cuda --out little.npy 2>err.txt || got=$?
[ "$got" -eq 16 ] && grep -q 'use --device cpu' err.txt && [ ! -e little.npy ] || fail "features without memory: $got, $(cat err.txt)"

# Errors: one sentence, a code, and a store that can go on.
expect() { # CODE TEXT COMMAND...
  local code=$1 text=$2 got=0
  shift 2
  "$@" >out.txt 2>err.txt || got=$?
  [ "$got" -eq "$code" ] || { cat err.txt; fail "exit code $got instead of $code: $*"; }
  grep -q -- "$text" err.txt || { cat err.txt; fail "no '$text' from $*"; }
}
expect 21 'no CUDA device 3' "$ntk" gram --device cuda:3 --net "$net" --data "$data[0:4]" --out e.npy
expect 11 'unknown device' "$ntk" gram --device gpu --net "$net" --data "$data[0:4]" --out e.npy
expect 11 'bad device list' "$ntk" gram --device cuda:0, --net "$net" --data "$data[0:4]" --out e.npy
NTK_SHIM_FAIL_BLAS=1 expect 21 'cuBLAS: a product of inputs failed' \
  "$ntk" gram --device cuda --net 'dense relu dense' --data "$data[0:4]" --out e.npy
NTK_SHIM_DEVICES=0 expect 21 'no CUDA device' "$ntk" gram --device cuda --net "$net" --data "$data[0:4]" --out e.npy
NTK_SHIM_FAIL_LAUNCH=6 expect 21 'finished tiles are safe' \
  "$ntk" gram --device cuda --net "$net" --data "$data[0:24]" --tile 8 --out broken.npy --progress none
expect 17 '' "$ntk" gram --device cpu --net "$net" --data "$data[0:24]" --tile 8 --out broken.npy --resume --progress none
"$ntk" gram --device cuda --net "$net" --data "$data[0:24]" --tile 8 --out broken.npy --resume --progress none || fail "resume"
cmp -s cuda.npy broken.npy || fail "resumed after a failed kernel: other bits"
echo "ok"
