#!/bin/sh
# Does what a README tells its readers to do, and compares what they would see
# with what it says that they will.
#
#   sh test/readme.sh [FILE]        FILE is README.md unless named
#
# How to write one:
#
# - Every block fenced by ```sh is run, from top to bottom, in one shell whose
#   folder is the root of the tree: variables, functions and cd stay. Other
#   fences (```console, ```yaml, ``` alone) and indented text are not run. The
#   exit code must be 0.
# - A block fenced by ```text that is the next fence after it is what it prints,
#   standard output and standard error together. "…" alone on a line stands for
#   any number of lines, none included; inside a line, for any characters.
# - What readers do not need to see stands in an HTML comment on a line of its
#   own before the fence, with nothing but blank lines between:
#       <!-- background: TEXT -->  run it beside the others, as in another
#                                  terminal, and go on when it has printed TEXT
#       <!-- exit: N -->           its exit code is N
#       <!-- not run -->           leave it out
#
# Where the system permits it, all of this has a network of its own, so that
# taken ports do not matter and nothing reaches the outside. Whatever was
# started is ended; README_TIMEOUT (300) seconds bound the whole.
set -eu
file=${1:-README.md}
limit=${README_TIMEOUT:-300}
[ -r "$file" ] || { echo "readme: $file cannot be read" >&2; exit 2; }
dir=$(mktemp -d)
session=
clean() {
  trap - EXIT INT TERM HUP
  if [ -n "$session" ]; then
    kill -s TERM -- "-$session" 2>/dev/null || :
    n=0
    while kill -s 0 -- "-$session" 2>/dev/null; do
      [ $n -lt 100 ] || { kill -s KILL -- "-$session" 2>/dev/null || :; break; }
      n=$((n + 1))
      sleep 0.1
    done
  fi
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

# Blocks become $dir/N.sh and $dir/N.text, and a line each of $dir/blocks:
# number, line of the file, exit code, the text that a background block prints.
awk -v dir="$dir" '
  function told(name,   at) {
    at = index(comment, "<!-- " name)
    return at ? substr(comment, at + length("<!-- " name)) : ""
  }
  fence == "" && /^<!-- .* -->$/ { comment = comment $0; next }
  fence == "" && /^```/ {
    fence = substr($0, 4)
    out = ""
    if (fence == "sh" && !told("not run")) {
      n++
      out = dir "/" n ".sh"
      printf "" > out
      ready = told("background: "); sub(/ -->.*/, "", ready)
      code = told("exit: ") + 0
      print n, NR, code, ready > (dir "/blocks")
    } else if (fence == "text" && last == "sh") {
      out = dir "/" n ".text"
      printf "" > out
    }
    last = out ~ /sh$/ ? "sh" : "other"
    comment = ""
    if (fence == "") fence = "none"
    next
  }
  fence != "" && /^```$/ { if (out != "") close(out); fence = ""; next }
  fence != "" { if (out != "") print > out; next }
  /[^ \t]/ { comment = "" }
  END { if (fence != "") { print "readme: a fence is not closed" > "/dev/stderr"; exit 2 } }
' "$file"
[ -s "$dir/blocks" ] || { echo "readme: $file has no block to run" >&2; exit 2; }
# Where it is: the time may be over before a busy machine has begun.
read -r n line rest < "$dir/blocks"
echo "$n $line" > "$dir/now"
: > "$dir/$n.out"

# The shell of the blocks. All that they start shares its process group, by
# which it is found in the end.
cat > "$dir/session.sh" <<'SESSION'
readme_dir=$1
while read -r readme_n readme_line readme_code readme_ready <&9; do
  echo "$readme_n $readme_line" > "$readme_dir/now.next"
  mv "$readme_dir/now.next" "$readme_dir/now"
  if [ -n "$readme_ready" ]; then
    sh "$readme_dir/$readme_n.sh" > "$readme_dir/$readme_n.out" 2>&1 < /dev/null 9<&- &
    readme_pid=$!
    until grep -qsF -- "$readme_ready" "$readme_dir/$readme_n.out"; do
      kill -0 $readme_pid 2>/dev/null || break
      sleep 0.1
    done
    kill -0 $readme_pid 2>/dev/null
    echo $? > "$readme_dir/$readme_n.code"
    continue
  fi
  . "$readme_dir/$readme_n.sh" > "$readme_dir/$readme_n.out" 2>&1 < /dev/null
  echo $? > "$readme_dir/$readme_n.code"
done 9< "$readme_dir/blocks"
SESSION

# curl draws a meter where its output is no terminal, and may know a proxy.
printf 'silent\nshow-error\nnoproxy = "*"\n' > "$dir/.curlrc"
export CURL_HOME="$dir"
if [ -n "${GO:-}" ] && found=$(command -v "$GO"); then
  case $found in /*) PATH=$(dirname "$found"):$PATH; export PATH ;; esac
fi
apart=
for try in 'unshare -n' 'unshare -rn'; do
  if $try ip link set lo up 2>/dev/null; then apart=$try; break; fi
done
if [ -n "$apart" ]; then
  set -- $apart sh -c 'ip link set lo up && exec sh "$1/session.sh" "$1"' readme "$dir"
else
  set -- sh "$dir/session.sh" "$dir"
fi
# A process group of its own; without a terminal, dash has no job control.
if command -v setsid > /dev/null; then
  setsid "$@" &
else
  set -m
  "$@" &
  set +m
fi
session=$!
waited=0
while kill -0 $session 2>/dev/null; do
  if [ $waited -ge $((limit * 10)) ]; then
    read -r n line < "$dir/now"
    echo "FAIL $file:$line: not done after $limit s in all"
    sed 's/^/  | /' "$dir/$n.out"
    exit 1
  fi
  waited=$((waited + 1))
  sleep 0.1
done

# matches EXPECTED ACTUAL
matches() {
  awk '
    function line(pattern, s,   part, n, i, at) {
      n = split(pattern, part, "…")
      if (n <= 1) return pattern == s
      if (substr(s, 1, length(part[1])) != part[1]) return 0
      s = substr(s, length(part[1]) + 1)
      for (i = 2; i < n; i++) {
        if (part[i] == "") continue
        if (!(at = index(s, part[i]))) return 0
        s = substr(s, at + length(part[i]))
      }
      return length(s) >= length(part[n]) && substr(s, length(s) - length(part[n]) + 1) == part[n]
    }
    function from(i, j,   k) {
      if (i > wanted) return j > got
      if (want[i] != "…") return j <= got && line(want[i], have[j]) && from(i + 1, j + 1)
      for (k = j; k <= got + 1; k++) if (from(i + 1, k)) return 1
      return 0
    }
    { sub(/\r$/, "") }
    FILENAME == ARGV[1] { want[++wanted] = $0; next }
    { have[++got] = $0 }
    END {
      while (got > 0 && have[got] == "") got--
      exit !from(1, 1)
    }
  ' "$1" "$2"
}

status=0
fail() {
  status=1
  echo "FAIL $file:$line: $1"
}
while read -r n line code ready; do
  if [ ! -e "$dir/$n.code" ]; then
    fail "it ended the shell, or was never reached"
  elif read -r got < "$dir/$n.code" && [ -n "$ready" ] && [ "$got" != 0 ]; then
    fail "it ended before it printed \"$ready\":"
    sed 's/^/  | /' "$dir/$n.out"
  elif [ -z "$ready" ] && [ "$got" != "$code" ]; then
    fail "it exits with $got, not $code:"
    sed 's/^/  | /' "$dir/$n.out"
  elif [ -e "$dir/$n.text" ] && ! matches "$dir/$n.text" "$dir/$n.out"; then
    fail "it does not print what is said:"
    sed 's/^/  said | /' "$dir/$n.text"
    sed 's/^/  got  | /' "$dir/$n.out"
  else
    echo "ok   $file:$line: $(sed -n 1p "$dir/$n.sh")"
  fi
done < "$dir/blocks"
exit $status
