#!/bin/bash
# Installs what the build and the tests need: system packages with apt, Python ones into the venv given.
set -euo pipefail
venv=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

packages=(build-essential cmake ninja-build pkg-config ccache
  liblz4-dev libzstd-dev libsnappy-dev zlib1g-dev libgtest-dev kcat strace btrfs-progs
  qemu-user)
# The interpreter's own headers and venv module, when it is Debian's.
if [[ $(readlink -f "$(command -v "$python")") == /usr/bin/* ]]; then
  packages+=(python3-venv python3-dev)
fi
bash "$here/apt-install.sh" "${packages[@]}"

echo "installing Python packages into $venv (a minute or two)"
[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
"$venv/bin/python" - <<'PY' >"$venv/requirements.txt"
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
needs = (need for extra in extras.keys() - {"wheels", "docs"} for need in extras[extra])
print("\n".join(sorted({*project["dependencies"], *needs})))
PY
"$venv/bin/pip" install -q --disable-pip-version-check -r "$venv/requirements.txt"
