#!/bin/sh
# Builds what the cluster tests run: etcd, kube-apiserver and
# kube-controller-manager; with the argument "conformance" also the Gateway API's
# conformance suite, its echo server and the pod runner. With "where" or
# "where-conformance" it builds nothing. Programs are kept in the user's cache
# folder under the versions that the go.sum files pin, so that only the first
# build takes minutes. The last line printed is the folder of the programs.
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
version=v1.36.3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postern
key() { cat "$@" | sha256sum | cut -c1-16; }
servers=${POSTERN_TEST_CLUSTER:-$cache/cluster-$version-$(key servers/go.mod servers/go.sum)}
suite=$cache/conformance-$(key conformance/go.mod conformance/go.sum conformance/*.go)

# build FOLDER NAME ARGS...: once; the name appears when the program is whole.
build() {
  folder=$1 name=$2
  shift 2
  [ -x "$bin/$name" ] && return
  echo "building $name for the cluster tests; the first time this takes minutes" >&2
  (cd "$folder" && CGO_ENABLED=0 $GO "$@" -o "$bin/$name.new" "$last") >&2
  mv "$bin/$name.new" "$bin/$name"
}

case "${1:-}" in
where)
  echo "$servers"
  exit
  ;;
where-conformance)
  echo "$suite"
  exit
  ;;
esac

bin=$servers
mkdir -p "$bin"
flags="-s -w"
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags="$flags -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=36 -X $p.gitTreeState=clean"
done
last=go.etcd.io/etcd/server/v3
build servers etcd build -ldflags "-s -w"
last=k8s.io/kubernetes/cmd/kube-apiserver
build servers kube-apiserver build -ldflags "$flags"
last=k8s.io/kubernetes/cmd/kube-controller-manager
build servers kube-controller-manager build -ldflags "$flags"

if [ "${1:-}" = conformance ]; then
  bin=$suite
  mkdir -p "$bin"
  last=sigs.k8s.io/gateway-api/conformance/echo-basic
  build conformance echo-basic build
  last=.
  build conformance conformance.test test -c
  # Our own program: go knows whether it changed.
  (cd conformance && CGO_ENABLED=0 $GO build -o "$bin/podrunner" ./podrunner) >&2
fi
echo "$bin"
