#!/bin/bash
# shellcheck disable=SC2016,SC2086
# tools/setup with dpkg and apt-get played by scripts: installs what is missing, nothing else, and nothing twice.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh" "$1"

mkdir tools state
for tool in sh env cat tr dirname; do ln -s "$(command -v $tool)" tools/; done
cat >tools/dpkg-query <<'END'
#!/bin/sh
for package; do :; done
[ -e "$STATE/$package" ] && printf installed
END
cat >tools/apt-get <<'END'
#!/bin/sh
echo "$@" >>"$STATE/../log"
[ "$1" = install ] || exit 0
for word; do case $word in install | -*) ;; *) : >"$STATE/$word" ;; esac; done
END
printf '#!/bin/sh\necho "${FAKE_ID:-0}"\n' >tools/id
chmod +x tools/*
setup() { code=0; env -i PATH="$scratch/tools" STATE="$scratch/state" "${assignments[@]}" sh "$repository/tools/setup" "$@" >out 2>err || code=$?; }
assignments=(FAKE_ID=0)

setup --list; [ $code -eq 0 ] || fail "--list: $code"; out_has '^libopenblas-dev$'; missing log
grep -q criterion out && fail 'tests are not asked for'
setup; [ $code -eq 0 ] || fail "as root: $code"; out_has 'installing the missing packages: build-essential'
grep -q '^update' log || fail 'no package lists'
grep -q '^install .*libjansson-dev.*dataset-fashion-mnist' log || fail 'not all packages'
rm log; setup; [ $code -eq 0 ] || fail "again: $code"; out_has 'every package that is needed is installed'; missing log
setup --tests; out_has 'libcriterion-dev'; grep -q 'install.*libcriterion-dev$' log || fail 'not only what was missing'
rm log state/zlib1g-dev; setup --tests; out_has 'packages: zlib1g-dev$'
setup --nonsense; [ $code -eq 2 ] || fail "nonsense: $code"

rm log state/zlib1g-dev; assignments=(FAKE_ID=1000)
setup; [ $code -eq 1 ] || fail "neither root nor sudo: $code"; err_has 'root or sudo: zlib1g-dev'; missing log
printf '#!/bin/sh\necho sudo >>"$STATE/../log"\nexec "$@"\n' >tools/sudo; chmod +x tools/sudo
setup; [ $code -eq 0 ] || fail "with sudo: $code"; grep -q '^sudo' log || fail 'sudo was not used'
rm state/zlib1g-dev; printf '#!/bin/sh\nexit 100\n' >tools/apt-get
setup; [ $code -eq 1 ] || fail "apt-get fails: $code"; err_has 'could not install: zlib1g-dev'
rm tools/apt-get; setup; [ $code -eq 1 ] || fail "no Debian: $code"; err_has 'no Debian system'
