#!/bin/sh
# Builds the tools of deploy/ that are Go programs of others: helm, which
# installs and renders the chart. A tool is kept in the user's cache folder under
# the versions that its go.sum pins, so that only the first build takes minutes.
#
#   build.sh helm     builds it if need be, and prints where it is
#   build.sh where    prints where helm would be, and builds nothing
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postern
key() { cat "$@" | sha256sum | cut -c1-16; }
helm=$cache/helm-$(key build.sh helm/go.mod helm/go.sum)/helm

case "${1:-}" in
where) ;;
helm)
  if [ ! -x "$helm" ]; then
    echo "building helm; the first time this takes minutes" >&2
    mkdir -p "${helm%/*}"
    # The name appears when the program is whole.
    version=$(cd helm && $GO list -m -f '{{.Version}}' helm.sh/helm/v3)
    minor=$(cd helm && $GO list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
    flags="-s -w -X helm.sh/helm/v3/internal/version.version=$version"
    for p in pkg/chartutil pkg/lint/rules; do
      flags="$flags -X helm.sh/helm/v3/$p.k8sVersionMajor=1 -X helm.sh/helm/v3/$p.k8sVersionMinor=$minor"
    done
    (cd helm && CGO_ENABLED=0 $GO build -trimpath -o "$helm.new" -ldflags "$flags" helm.sh/helm/v3/cmd/helm) >&2
    mv "$helm.new" "$helm"
  fi
  ;;
*)
  echo "usage: build.sh helm | where" >&2
  exit 2
  ;;
esac
echo "$helm"
