#!/bin/sh
# Prints the plain manifests: what the chart makes of its own values, in the
# namespace postern-system, for those who install without helm.
set -eu
cd "$(dirname "$0")"
cat <<'END'
# Postern without helm, made from the chart by `make deploy`. Before it:
#
#   kubectl create -f deploy/crds/gatewayapi.yaml -f deploy/crds/postern.dev_posternproxies.yaml
#
# which leaves a definition alone that is there already, and says so.
---
apiVersion: v1
kind: Namespace
metadata:
  name: postern-system
END
"$(sh tools/build.sh where helm)" template postern chart/postern --namespace postern-system |
  sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e 's/managed-by: Helm/managed-by: kubectl/'
