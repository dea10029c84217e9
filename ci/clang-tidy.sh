#!/bin/bash
# clang-tidy.sh BUILD_DIR JOBS [FILE...]: clang's warnings, lock annotations and chosen checks as errors.
# Without files: all of csrc/. A file that passed is not read again until something it includes changes.
set -euo pipefail
build=$1 jobs=$2
shift 2
cmake -S . -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCCACHE=OFF -DBARNABAS_TESTS=OFF \
  -DPython_EXECUTABLE="$PWD/.venv/bin/python" >/dev/null
files=("$@")
((${#files[@]})) || mapfile -t files < <(find csrc -name '*.cc' | sort)
mkdir -p "$build/passed"

check() {
  local file=$1 stamp
  stamp=$build/passed/$(clang++ -std=c++20 -march=x86-64-v2 -Icsrc -w -MM "$file" 2>/dev/null |
    tr -d '\\' | cut -d: -f2- | xargs cat .clang-tidy CMakeLists.txt 2>/dev/null |
    sha256sum | cut -c1-32)-$(basename "$file")
  [[ -e $stamp ]] && return 0
  clang-tidy -quiet -p "$build" "$file" 2>/dev/null || { echo "clang-tidy: $file" >&2; return 1; }
  touch "$stamp"
}
export -f check
export build
printf '%s\n' "${files[@]}" | xargs -P "$jobs" -I{} bash -c 'check {}'
