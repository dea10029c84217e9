#!/bin/bash
# Installs what the tests with the Java and Go clients and Apache Kafka itself need.
set -euo pipefail
packages=()
for program in java javac; do
  command -v "$program" >/dev/null || packages=(default-jdk-headless)
done
command -v mvn >/dev/null || packages+=(maven)
command -v go >/dev/null || packages+=(golang-go)
bash "$(dirname "$0")/apt-install.sh" "${packages[@]}"
