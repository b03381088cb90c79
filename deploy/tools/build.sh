#!/bin/sh
# Builds the tools of deploy/ that are made of other people's Go modules: helm,
# which installs and renders the chart, and sbom, which lists what a program is
# made of. A tool is kept in the user's cache folder under what it is made from,
# so that only the first build takes minutes.
#
#   build.sh helm|sbom          builds the tool if need be, and prints where it is
#   build.sh where helm|sbom    prints where it would be, and builds nothing
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postern
key() { cat "$@" | sha256sum | cut -c1-16; }

build=yes
if [ "${1:-}" = where ]; then
  build=
  shift
fi
tool=${1:-}
case "$tool" in
helm) package=helm.sh/helm/v3/cmd/helm ;;
sbom) package=. ;;
*)
  echo "usage: build.sh [where] helm|sbom" >&2
  exit 2
  ;;
esac
program=$cache/$tool-$(key build.sh "$tool"/*)/$tool

# flags of helm: its version, and which Kubernetes it renders for.
flags() {
  [ "$tool" = helm ] || return 0
  echo "-X helm.sh/helm/v3/internal/version.version=$($GO list -m -f '{{.Version}}' helm.sh/helm/v3)"
  minor=$($GO list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
  for p in pkg/chartutil pkg/lint/rules; do
    echo "-X helm.sh/helm/v3/$p.k8sVersionMajor=1 -X helm.sh/helm/v3/$p.k8sVersionMinor=$minor"
  done
}

if [ -n "$build" ] && [ ! -x "$program" ]; then
  echo "building $tool; the first time this takes minutes" >&2
  mkdir -p "${program%/*}"
  # The name appears when the program is whole.
  (cd "$tool" && CGO_ENABLED=0 $GO build -trimpath -o "$program.new" -ldflags "-s -w $(flags | tr '\n' ' ')" "$package") >&2
  mv "$program.new" "$program"
fi
echo "$program"
