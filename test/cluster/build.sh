#!/bin/sh
# Builds what the cluster tests run: etcd, kube-apiserver and
# kube-controller-manager, the pod runner and kubectl; with the argument
# "conformance" also the Gateway API's conformance suite and its echo server.
# With "where" it builds nothing and tells the folder of the servers, with
# "where-conformance" that of the suite, with "where-podrunner" and
# "where-kubectl" these programs. Programs are kept in the user's cache folder
# under the versions that the go.sum files pin, so that only the first build takes
# minutes. The last line printed is the folder of the programs.
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
version=v1.36.3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postern
key() { cat "$@" | sha256sum | cut -c1-16; }
servers=${POSTERN_TEST_CLUSTER:-$cache/cluster-$version-$(key servers/go.mod servers/go.sum)}
suite=$cache/conformance-$(key conformance/go.mod conformance/go.sum conformance/*.go)
kubectl=$cache/kubectl-$(key podrunner/go.mod podrunner/go.sum podrunner/kubectl/main.go)
podrunner=$cache/podrunner-$(key podrunner/go.mod podrunner/go.sum podrunner/*.go)

# build FOLDER NAME ARGS...: once; the name appears when the program is whole.
build() {
  folder=$1 name=$2
  shift 2
  [ -x "$bin/$name" ] && return
  echo "building $name for the cluster tests; the first time this takes minutes" >&2
  (cd "$folder" && CGO_ENABLED=0 $GO "$@" -o "$bin/$name.new.$$" "$last") >&2
  mv "$bin/$name.new.$$" "$bin/$name"
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
where-podrunner)
  echo "$podrunner/podrunner"
  exit
  ;;
where-kubectl)
  echo "$kubectl/kubectl"
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


bin=$podrunner
mkdir -p "$bin"
last=.
build podrunner podrunner build
bin=$kubectl
mkdir -p "$bin"
last=./kubectl
build podrunner kubectl build -ldflags "$flags"
bin=$servers

if [ "${1:-}" = conformance ]; then
  bin=$suite
  mkdir -p "$bin"
  last=sigs.k8s.io/gateway-api/conformance/echo-basic
  build conformance echo-basic build
  last=.
  build conformance conformance.test test -c
  ln -sf "$podrunner/podrunner" "$bin/podrunner"
fi
echo "$bin"
