{{/* The release's name, in every object's. */}}
{{- define "postern.name" -}}
{{- if contains "postern" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-postern" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* What a cluster-wide object is called: two releases may stand side by side. */}}
{{- define "postern.clusterName" -}}
{{ include "postern.name" . }}{{ if ne .Release.Namespace "postern-system" }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* Labels that never change, of the part that .part names. */}}
{{- define "postern.selector" -}}
app.kubernetes.io/name: postern
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels and annotations of an object. */}}
{{- define "postern.metadata" -}}
labels:
  {{- include "postern.labels" . | nindent 2 }}
{{- with .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "postern.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest }}{{ $i.repository }}@{{ $i.digest }}{{ else }}{{ $i.repository }}:{{ $i.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* The families that are read, separated by commas. */}}
{{- define "postern.dialects" -}}
{{- $list := list -}}
{{- range $name, $on := .Values.dialects }}{{ if $on }}{{ $list = append $list $name }}{{ end }}{{ end -}}
{{- if not $list }}{{ fail "dialects: none is true, so there is nothing to read" }}{{ end -}}
{{- join "," $list -}}
{{- end }}

{{/* The namespaces whose Secrets are read, separated by commas; "*" is all. */}}
{{- define "postern.secretNamespaces" -}}
{{- $list := list .Release.Namespace -}}
{{- range .Values.gateways }}{{ $list = append $list (.namespace | default $.Release.Namespace) }}{{ end -}}
{{- if kindIs "slice" .Values.secretNamespaces }}{{ $list = .Values.secretNamespaces }}{{ end -}}
{{- if has "*" $list }}*{{ else }}{{ $list | uniq | sortAlpha | join "," }}{{ end -}}
{{- end }}

{{/* The rules of a role over what the families read: .scope is namespaced or
     cluster, .suffix is put to each resource, .verbs is what may be done. */}}
{{- define "postern.rules" -}}
{{- $kinds := .root.Files.Get "files/kinds.yaml" | fromYaml -}}
{{- $groups := dict -}}
{{- range $family := .families -}}
{{- range $group, $r := get $kinds $family -}}
{{- $_ := set $groups $group (concat (get $groups $group | default list) (get $r $.scope | default list) | uniq | sortAlpha) -}}
{{- end -}}
{{- end -}}
{{- range $group, $plurals := $groups -}}
{{- if $plurals }}
- apiGroups: [{{ $group | quote }}]
  resources:
  {{- range $plurals }}
    - {{ . }}{{ $.suffix }}
  {{- end }}
  verbs: [{{ join ", " $.verbs }}]
{{- end -}}
{{- end -}}
{{- end }}

{{/* What keeps a container from doing more than it must. */}}
{{- define "postern.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "postern.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
startupProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 1
  failureThreshold: 60
{{- end }}

{{/* The pods of one part spread over the nodes, if they can. */}}
{{- define "postern.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "postern.selector" . | nindent 8 }}
{{- end }}

{{/* The bindings by which the account of a part reads resources: those of the
     namespaces that are watched, and the Secrets of secretNamespaces. The
     controller makes the same for the data planes of Gateways. */}}
{{- define "postern.readBindings" -}}
{{- $name := include "postern.clusterName" .root -}}
{{- $as := printf "%s-%s" $name .part -}}
{{- $meta := include "postern.metadata" (dict "root" .root "part" .part) -}}
{{- $subject := printf "subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]" .account .namespace -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $as }}-read-cluster
  {{- $meta | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}-read-cluster}
{{ $subject }}
{{- range $role, $namespaces := dict "read" (join "," .root.Values.namespaces | default "*") "read-secrets" (include "postern.secretNamespaces" .root) }}
{{- if eq $namespaces "*" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $as }}-{{ $role }}
  {{- $meta | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}-{{ $role }}}
{{ $subject }}
{{- else }}
{{- range splitList "," $namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $as }}-{{ $role }}
  namespace: {{ . }}
  {{- $meta | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}-{{ $role }}}
{{ $subject }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a fixed gateway is called: the release's name and its own. */}}
{{- define "postern.gatewayName" -}}
{{ printf "%s-%s" (include "postern.name" .root) .gateway.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The families that a fixed gateway reads. */}}
{{- define "postern.gatewayDialects" -}}
{{- $list := without (splitList "," (include "postern.dialects" .root)) "gatewayapi" -}}
{{- with .gateway.dialects }}{{ $list = . }}{{ end -}}
{{- range $list }}{{ if not (get $.root.Values.dialects .) }}{{ fail (printf "gateways: %s: the family %s is not read; set dialects.%s=true" $.gateway.name . .) }}{{ end }}{{ end -}}
{{- if not $list }}{{ fail (printf "gateways: %s: no family is read whose gateways are chosen by label; set dialects.gloo, gloomesh or istio to true" .gateway.name) }}{{ end -}}
{{- join "," $list -}}
{{- end }}

{{/* Where a port of a fixed gateway is bound: low ones are shifted, since the
     pod is nobody's root. */}}
{{- define "postern.bind" -}}
{{- $listener := int (.listener | default .port) -}}
{{- if .target }}{{ .target }}{{ else if lt $listener 1024 }}{{ add $listener 10000 }}{{ else }}{{ $listener }}{{ end -}}
{{- end }}
