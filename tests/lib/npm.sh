#!/bin/bash
# tests/lib/npm.sh FOLDER: installs the locked packages of FOLDER (npm ci) unless that is done. Two tests may ask at once.
set -eu
mkdir -p "$1"
cd "$1"
[ -f package-lock.json ] || exit 0
exec 9<.
flock 9
cmp -s package-lock.json node_modules/.installed && exit 0
npm ci --no-audit --no-fund --loglevel=error 9>&-
cp package-lock.json node_modules/.installed
