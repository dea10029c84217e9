#!/bin/bash
# apt-install.sh PACKAGE...: installs those Debian packages that are missing, one such call at a time.
set -euo pipefail
exec 9<"$0"
flock 9
missing=()
for package in "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
((${#missing[@]})) || exit 0
echo "installing system packages: ${missing[*]}"
apt-get update -qq 9<&-
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 9<&-
