# make test is the one command: it installs or builds what it needs, and runs
# the fast things first.
GO      ?= go
FUZZ    ?= 10000x
PROCS   := $(shell nproc)

.PHONY: all build test lint cluster conformance helm unit compiler fuzz readme curl pods bench soak clean deploy sbom image

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/postern ./cmd/postern

test: lint cluster helm unit fuzz readme

# Formatting, vet, and the linter that go.mod pins.
lint:
	@test -z "$$(gofmt -l cmd deploy internal examples test)" || { gofmt -d cmd deploy internal examples test; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The Kubernetes API server that tests run against: minutes the first time, then
# out of the user's cache folder. Without it those tests are skipped and say so.
cluster:
	@GO="$(GO)" sh test/cluster/build.sh >/dev/null

# The Gateway API's conformance suite, with its own time-outs; some minutes, and
# root for its pods. ARGS goes to the suite: -run-test NAME; LOGS is a folder to
# leave its log and the gateway's in; CHANNEL, standard or experimental, says which
# definitions of the Gateway API are installed.
conformance: cluster
	POSTERN_CONFORMANCE=1 POSTERN_CONFORMANCE_CHANNEL="$(CHANNEL)" POSTERN_CONFORMANCE_ARGS="$(ARGS)" POSTERN_CONFORMANCE_LOGS="$(LOGS)" \
	  $(GO) test -count 1 -timeout 60m -v -run TestConformance ./test/conformance

# What renders and installs the chart, and lists materials, kept in the same way.
helm:
	@GO="$(GO)" sh deploy/tools/build.sh helm >/dev/null
	@GO="$(GO)" sh deploy/tools/build.sh sbom >/dev/null

# What the program is made of, as CycloneDX, out of the program itself.
sbom: build helm
	"$$(sh deploy/tools/build.sh where sbom)" -version "$$(bin/postern version | cut -d' ' -f2)" bin/postern > bin/postern.cdx.json

# The image, for every platform; needs docker with buildx.
image:
	docker buildx build -f deploy/Dockerfile --platform linux/amd64,linux/arm64 -t ghcr.io/postern-gateway/postern .

# What in deploy/ is made from something else: the definitions of kinds and the
# lists of the chart's roles from the dialects, the plain manifests from the chart.
deploy: helm
	$(GO) run ./deploy/crds/generate -gateway-api "$$($(GO) list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"
	sh deploy/render.sh > deploy/postern.yaml.new
	mv deploy/postern.yaml.new deploy/postern.yaml

# Every test, with the race detector (which needs a C compiler).
unit: compiler curl pods
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

compiler:
	@command -v gcc >/dev/null || command -v cc >/dev/null || { \
	  echo "installing gcc for the race detector"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev; }

curl:
	@command -v curl >/dev/null || { \
	  echo "installing curl, with which tests ask as people do"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq curl; }

# What the pods of cluster tests have their networks by; they need root, too.
pods:
	@command -v ip >/dev/null || [ "$$(id -u)" != 0 ] || { \
	  echo "installing iproute2, with which pods of tests get networks"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq iproute2; }

# Some inputs for each fuzz target; `make fuzz FUZZ=10m` for a long run.
fuzz:
	FUZZ=$(FUZZ) GO=$(GO) sh test/fuzz.sh

# The shell of the README's own commands.
readme: build curl
	GO=$(GO) sh test/readme.sh

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Long runs: streams, reloads under load, leaks, fuzzing. What they time holds on
# a quiet machine, without the race detector, with which make unit runs them.
soak:
	POSTERN_SOAK=1 $(GO) test -timeout 60m -count 1 ./test/...
	POSTERN_SOAK=1 $(GO) test -timeout 30m -count 1 -v -run 'History|ManyKeys|ManyAPIKeys|ManyStatuses|Thousand|HalfWritten|Timing|Soak|Handshake|AuthoritiesRenewed|ParentGone' \
	  ./internal/authn ./internal/kube ./internal/gateway ./internal/compile ./internal/source/file ./internal/source/kube ./internal/cli
	$(MAKE) fuzz FUZZ=2m

clean:
	rm -rf bin
