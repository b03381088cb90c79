#!/bin/sh
# Runs every fuzz target, one after the other, for $FUZZ: a number of inputs
# (10000x) or a time (2m). A number needs no clock, so that a busy machine
# changes nothing. What is new is not made small for up to a minute, as it is by
# default: that takes the time of other inputs. Stops at the first that fails, and
# shows all that it said.
set -eu
GO=${GO:-go}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for file in $(grep -rl --include='*_test.go' '^func Fuzz' internal test); do
  package=./$(dirname "$file")
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
    if ! $GO test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZ:-10000x}" -fuzzminimizetime 100x "$package" >"$out" 2>&1; then
      cat "$out"
      echo "fuzz: $package $target failed; the input is in its testdata" >&2
      exit 1
    fi
    echo "fuzz $package $target: $(tail -n 1 "$out")"
  done
done
