{{- define "autopilot.endpoint" -}}
{{- printf "%s-endpoint" (.Release.Name | trunc 50 | trimSuffix "-") -}}
{{- end -}}

{{- define "autopilot.client" -}}
{{- printf "%s-client" (.Release.Name | trunc 50 | trimSuffix "-") -}}
{{- end -}}

{{- define "autopilot.learn" -}}
{{- printf "%s-learn" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}

{{- define "autopilot.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/part-of: gameserver-autopilot
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The labels that pods are selected by; argument: a list of the root and the component. */}}
{{- define "autopilot.selector" -}}
app.kubernetes.io/name: autopilot-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{- define "autopilot.pdbVersion" -}}
{{- if .Capabilities.APIVersions.Has "policy/v1" }}policy/v1{{ else if .Capabilities.APIVersions.Has "policy/v1beta1" }}policy/v1beta1{{ else }}policy/v1{{ end -}}
{{- end -}}

{{/* Whether a kind of the Prometheus operator is wanted; argument: a list of the root, the value and the kind. */}}
{{- define "autopilot.monitored" -}}
{{- $value := toString (index . 1) -}}
{{- if or (eq $value "true") (and (eq $value "auto") ((index . 0).Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 2)))) }}yes{{ end -}}
{{- end -}}

{{/* What contradicts itself is refused here, with the remedy; what a single value may be stands in values.schema.json. */}}
{{- define "autopilot.check" -}}
{{- $store := .Values.endpoint.history.store -}}
{{- if and .Values.endpoint.enabled (eq $store "sqlite") (gt (int .Values.endpoint.replicas) 1) -}}
{{- fail (printf "endpoint.replicas: %d replicas would each have a history of their own, because SQLite lives on one volume; set endpoint.history.store to dynamodb, or replicas to 1" (int .Values.endpoint.replicas)) -}}
{{- end -}}
{{- if and .Values.endpoint.enabled (eq $store "dynamodb") (or (empty .Values.endpoint.history.dynamodb.table) (empty .Values.endpoint.history.dynamodb.region)) -}}
{{- fail "endpoint.history.dynamodb: table and region are needed where store is dynamodb; `autopilot deploy` or the CloudFormation stack makes the table" -}}
{{- end -}}
{{- if hasKey .Values.endpoint.settings "AUTOPILOT_HISTORY" -}}
{{- fail "endpoint.settings: AUTOPILOT_HISTORY follows from endpoint.history; set store, sqlite or dynamodb there" -}}
{{- end -}}
{{- if .Values.learning.enabled -}}
{{- if or (not .Values.endpoint.enabled) (eq $store "off") -}}
{{- fail "learning.enabled: there is no history to learn from; enable the endpoint, with endpoint.history.store sqlite or dynamodb" -}}
{{- end -}}
{{- if and (gt (int .Values.endpoint.replicas) 1) (eq .Values.learning.models.accessMode "ReadWriteOnce") -}}
{{- fail "learning.models.accessMode: several replicas of the endpoint on different nodes read one volume; set ReadWriteMany, with a storageClassName that has it" -}}
{{- end -}}
{{- range $setting := list "AUTOPILOT_MODEL_DIR" "AUTOPILOT_CANDIDATE" -}}
{{- if hasKey $.Values.endpoint.settings $setting -}}
{{- fail (printf "endpoint.settings: %s follows from learning.enabled" $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.client.enabled -}}
{{- if empty .Values.client.config.fleets -}}
{{- fail "client.config.fleets: name at least one fleet, with name, target, demand and maximum (deploy/chart/README.md has one to copy), or set client.enabled to false" -}}
{{- end -}}
{{- if and (not .Values.endpoint.enabled) (empty .Values.client.config.endpoint) -}}
{{- fail "client.config.endpoint: say url, sagemaker or predict where endpoint.enabled is false" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Peers of a NetworkPolicy: the namespaces that are named. */}}
{{- define "autopilot.namespaces" -}}
{{- range .Values.networkPolicy.from }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* What client and endpoint may reach: DNS, the ports that are named, and the node's agent of EKS Pod Identity. */}}
{{- define "autopilot.egress" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
    {{- range .Values.networkPolicy.egressPorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
- to:
    - ipBlock: {cidr: 169.254.170.23/32}
    - ipBlock: {cidr: "fd00:ec2::23/128"}
  ports:
    - {protocol: TCP, port: 80}
{{- end -}}

{{/* A fleet's target as JSON: group, resource, name, and whether the client knows its kind by name. */}}
{{- define "autopilot.target" -}}
{{- $words := dict "deployment" "apps/deployments" "statefulset" "apps/statefulsets" "fleet" "agones.dev/fleets" "cloneset" "apps.kruise.io/clonesets" "gameserverset" "game.kruise.io/gameserversets" -}}
{{- $kinds := dict "apps/Deployment" "deployments" "apps/StatefulSet" "statefulsets" "agones.dev/Fleet" "fleets" "apps.kruise.io/CloneSet" "clonesets" "game.kruise.io/GameServerSet" "gameserversets" -}}
{{- if kindIs "string" . -}}
{{- $resource := get $words (splitList "/" . | first) -}}
{{- dict "group" (splitList "/" $resource | first) "resource" (splitList "/" $resource | last) "name" (splitList "/" . | last) "known" true | toJson -}}
{{- else -}}
{{- $group := splitList "/" .apiVersion | first -}}
{{- $plural := get $kinds (printf "%s/%s" $group .kind) -}}
{{- if not (or .resource $plural) -}}
{{- fail (printf "client.config.fleets: the plural of the kind %s is not known; write resource in its target, as kubectl api-resources shows it" .kind) -}}
{{- end -}}
{{- dict "group" $group "resource" (.resource | default $plural) "name" .name "known" (not (empty $plural)) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Where a fleet's object is; argument: a list of the root and the fleet. */}}
{{- define "autopilot.fleetNamespace" -}}
{{- $root := index . 0 -}}
{{- (index . 1).namespace | default (dig "namespace" "" ($root.Values.client.config.defaults | default dict)) | default $root.Release.Namespace -}}
{{- end -}}

{{/* The rules of a Role for the fleets of one namespace; argument: a list of the root and the namespace. */}}
{{- define "autopilot.rights" -}}
{{- $root := index . 0 }}{{ $namespace := index . 1 -}}
{{- $config := $root.Values.client.config -}}
{{- $defaults := $config.defaults | default dict -}}
{{- /* By "group/resource", or "group/resource/scale": the names that are read, and whose size is set. */ -}}
{{- $read := dict }}{{ $set := dict }}{{ $unlistable := list -}}
{{- $buffers := list }}{{ $pods := false }}{{ $marks := false }}{{ $replicaSets := false }}{{ $gameServers := false }}{{ $told := false -}}
{{- range $config.fleets -}}
{{- $fleet := mergeOverwrite (deepCopy $defaults) . -}}
{{- if eq $namespace (include "autopilot.fleetNamespace" (list $root .)) -}}
{{- $target := include "autopilot.target" $fleet.target | fromJson -}}
{{- $resource := printf "%s/%s" $target.group $target.resource -}}
{{- $acts := eq ($fleet.apply | default "observe") "scale" -}}
{{- if and (ne ($fleet.apply | default "observe") "observe") (ne ($config.events | default "pass") "off") }}{{ $told = true }}{{ end -}}
{{- if ne ($fleet.demand.source | default "") "review" -}}
{{- $_ := set $read $resource (append (get $read $resource | default list) $target.name) -}}
{{- if not $target.known -}}
{{- $unlistable = append $unlistable $resource -}}
{{- $scale := printf "%s/scale" $resource -}}
{{- $unlistable = append $unlistable $scale -}}
{{- $_ := set $read $scale (append (get $read $scale | default list) $target.name) -}}
{{- end -}}
{{- if $acts }}{{ $_ := set $set $resource (append (get $set $resource | default list) $target.name) }}{{ end -}}
{{- end -}}
{{- if eq ($fleet.demand.source | default "") "pods" }}{{ $pods = true }}{{ end -}}
{{- if $fleet.removal_order }}{{ $pods = true }}{{ end -}}
{{- if $fleet.deletion_cost }}{{ $pods = true }}{{ $marks = $acts | or $marks }}{{ end -}}
{{- if eq (toString ($fleet.lead_minutes | default "")) "measured" -}}
{{- if eq $target.group "agones.dev" }}{{ $gameServers = true }}{{ else }}{{ $pods = true }}{{ end -}}
{{- end -}}
{{- if and $fleet.protect (ne ($fleet.apply | default "observe") "observe") }}{{ $pods = true }}{{ $marks = true }}{{ end -}}
{{- if and (or $fleet.deletion_cost $fleet.protect) (eq $resource "apps/deployments") }}{{ $replicaSets = true }}{{ end -}}
{{- with $fleet.capacity -}}
{{- if and $acts .buffer }}{{ $buffers = append $buffers .buffer }}{{ end -}}
{{- if and $acts .pause_deployment }}{{ $_ := set $set "apps/deployments" (append (get $set "apps/deployments" | default list) .pause_deployment) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $how := $config.read | default "auto" -}}
{{- if $told }}
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
{{- range $resource, $names := $read }}
- apiGroups: [{{ splitList "/" $resource | first | toJson }}]
  resources: [{{ splitList "/" $resource | rest | join "/" | toJson }}]
  resourceNames: {{ uniq $names | sortAlpha | toJson }}
  verbs: [get]
{{- if and (not (has $resource $unlistable)) (or (eq $how "list") (and (eq $how "auto") (gt (len $names) 2))) }}
- apiGroups: [{{ splitList "/" $resource | first | toJson }}] # one call for many; a name cannot limit a list
  resources: [{{ splitList "/" $resource | last | toJson }}]
  verbs: [list]
{{- end }}
{{- end }}
{{- range $resource, $names := $set }}
- apiGroups: [{{ splitList "/" $resource | first | toJson }}]
  resources: [{{ splitList "/" $resource | last | printf "%s/scale" | toJson }}]
  resourceNames: {{ uniq $names | sortAlpha | toJson }}
  verbs: [patch]
{{- end }}
{{- if $pods }}
- apiGroups: [""]
  resources: [pods]
  verbs: {{ $marks | ternary (list "list" "patch") (list "list") | toJson }}
{{- end }}
{{- if $gameServers }}
- apiGroups: [agones.dev]
  resources: [gameservers]
  verbs: [list]
{{- end }}
{{- if and $marks $replicaSets }}
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
{{- end }}
{{- with $buffers }}
- apiGroups: [autoscaling.x-k8s.io]
  resources: [capacitybuffers]
  resourceNames: {{ uniq . | sortAlpha | toJson }}
  verbs: [patch]
{{- end }}
{{- end -}}
