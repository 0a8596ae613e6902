#!/bin/bash
# Installs the build tree into a scratch folder and builds a stranger's project against it, through find_package and
# through pkg-config. Arguments: the build tree, the C compiler.
set -eu
build=$1
compiler=$2
source=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d /tmp/ntk-consumer-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
unset DESTDIR

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log" || { cat "$scratch/install.log"; exit 1; }

echo "find_package(ntk)"
cmake -S "$source" -B "$scratch/consumer" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$scratch/configure.log" ||
  { cat "$scratch/configure.log"; exit 1; }
cmake --build "$scratch/consumer"
libraries=$(find "$scratch/prefix" -name 'libntk.*' -printf '%h\n' | head -n 1)
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$scratch/consumer/consumer"

echo "pkg-config ntk"
export PKG_CONFIG_PATH="$libraries/pkgconfig"
# shellcheck disable=SC2046 # the flags are several words
"$compiler" -std=c11 -Wall -Werror $(pkg-config --cflags ntk) "$source/consumer.c" -o "$scratch/plain" $(pkg-config --libs ntk)
"$scratch/plain"

echo "the installed program"
"$scratch/prefix/bin/ntk" --version

if command -v c++ >/dev/null; then
  echo "the headers in C++"
  # shellcheck disable=SC2046
  echo '#include <ntk/ntk.h>' | c++ -x c++ -Wall -Werror -fsyntax-only $(pkg-config --cflags ntk) -
fi

echo "every header alone"
for header in "$scratch"/prefix/include/ntk/*.h; do
  # shellcheck disable=SC2046
  echo "#include <ntk/$(basename "$header")>" | "$compiler" -std=c11 -Wall -Werror -fsyntax-only $(pkg-config --cflags ntk) -x c -
done
