#!/bin/sh
# Builds what the cluster tests run: etcd, kube-apiserver and
# kube-controller-manager; with the argument "conformance" also the Gateway API's
# conformance suite, its echo server and the pod runner; with "where" nothing. They are kept in the
# user's cache folder under the versions that the go.sum files pin, so that only
# the first build takes minutes. The last line printed is that folder.
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
version=v1.36.3
key=$(cat build.sh servers/go.mod servers/go.sum conformance/go.mod conformance/go.sum conformance/podrunner/*.go | sha256sum | cut -c1-16)
bin=${POSTERN_TEST_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/postern/cluster-$key}
if [ "${1:-}" = where ]; then
  echo "$bin"
  exit
fi
mkdir -p "$bin"

# build FOLDER NAME ARGS...: once; the name appears when the program is whole.
build() {
  folder=$1 name=$2
  shift 2
  [ -x "$bin/$name" ] && return
  echo "building $name for the cluster tests; the first time this takes minutes" >&2
  (cd "$folder" && CGO_ENABLED=0 $GO "$@" -o "$bin/$name.new" "$last") >&2
  mv "$bin/$name.new" "$bin/$name"
}

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
  last=./podrunner
  build conformance podrunner build
  last=sigs.k8s.io/gateway-api/conformance/echo-basic
  build conformance echo-basic build
  last=.
  build conformance conformance.test test -c
fi
echo "$bin"
