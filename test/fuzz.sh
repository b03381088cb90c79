#!/bin/sh
# Runs every fuzz target for $FUZZ, one after the other.
set -eu
GO=${GO:-go}
for file in $(grep -rl --include='*_test.go' '^func Fuzz' internal test); do
  package=./$(dirname "$file")
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
    echo "fuzz $package $target"
    $GO test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZ:-5s}" "$package" | tail -n 1
  done
done
