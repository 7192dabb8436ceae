{{/*
What the product's configuration says, as far as the pod depends on it. It is read here and said nowhere else; what would
not fit the pod ends the rendering with a sentence, so that no gateway starts that would refuse every request.

Helm reads YAML 1.1, so only texts and numbers are taken from it: no place, no law.
*/}}
{{- define "borderpost.settings" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository is not set: there is no public image; build one (docs/guide/image.md) and name it" }}
{{- end }}
{{- if not .Values.config }}
{{- fail "config is not set: give the configuration by --set-file config=borderpost.yaml" }}
{{- end }}
{{- $parsed := fromYaml .Values.config }}
{{- if hasKey $parsed "Error" }}
{{- fail (printf "config is no YAML mapping: %v" $parsed.Error) }}
{{- end }}
{{- $server := $parsed.server | default dict }}
{{- $audit := $parsed.audit | default dict }}
{{- $runtime := $parsed.runtime | default dict }}
{{- $admin := $parsed.admin | default dict }}
{{- $counters := $parsed.counters | default dict }}
{{- $istio := $parsed.istio | default dict }}
{{- if ne (toString ($server.listen | default "unix")) "unix" }}
{{- fail (printf "config: server.listen is %v: beside Envoy in one pod it is `unix`" $server.listen) }}
{{- end }}
{{- if not $server.directory }}
{{- fail "config: server.directory is not set: in the pod it lies below /run/borderpost, the volume that Envoy sees too, and `borderpost render istio` tells Envoy" }}
{{- end }}
{{- include "borderpost.below" (list "server.directory" $server.directory "/run/borderpost" "the volume that Envoy sees too") }}
{{- include "borderpost.below" (list "runtime.directory" $runtime.directory "/run/borderpost-state" "memory that Envoy does not see") }}
{{- include "borderpost.below" (list "audit.directory" $audit.directory "/var/lib/borderpost" "the volume of the evidence") }}
{{- include "borderpost.below" (list "counters.directory" $counters.directory "/var/lib/borderpost" "the volume of the evidence") }}
{{- if not $audit.log }}
{{- fail "config: audit.log is not set: name the log after a host of yours, such as `gateway.example.com/borderpost`; each pod appends its own name" }}
{{- end }}
{{- if gt (add (len (toString $audit.log)) (len (include "borderpost.name" .)) 7) 128 }}
{{- fail (printf "config: audit.log is too long: with a pod's name behind it, `%v` has more than 128 characters" $audit.log) }}
{{- end }}
{{- if and $istio (ne (toString $istio.namespace) .Release.Namespace) }}
{{- fail (printf "config: istio.namespace is %v, and the release goes to %s: what is rendered would find no pods" $istio.namespace .Release.Namespace) }}
{{- end }}
{{- if and $istio.service_account (ne $istio.service_account (include "borderpost.name" .)) }}
{{- fail (printf "config: istio.service_account is %v, and the pods' account is %s" $istio.service_account (include "borderpost.name" .)) }}
{{- end }}
{{- if and $istio .Values.gateway.labels }}
{{- fail "gateway.labels: the configuration's istio.workload says which labels the pods have; leave them out here" }}
{{- end }}
{{- if and $istio (not (kindIs "invalid" .Values.gateway.trustedProxies)) }}
{{- fail "gateway.trustedProxies: the configuration's istio.trusted_proxies says how many; leave it out here" }}
{{- end }}
{{- if and $istio .Values.disruptionBudget.enabled }}
{{- fail "disruptionBudget.enabled: `borderpost render istio` makes a PodDisruptionBudget too, and Kubernetes evicts no pod that has two" }}
{{- end }}
{{- if and $istio .Values.networkPolicy.egress }}
{{- fail "networkPolicy.egress: the configuration's istio.egress says where pods may connect to; say it there" }}
{{- end }}
{{- if and $istio (not $istio.workload) }}
{{- fail "config: istio.workload is not set: it says which labels the pods have" }}
{{- end }}
{{- $workers := int ($server.workers | default 1) }}
{{- $drain := ternary $server.drain_s 5 (hasKey $server "drain_s") | float64 | ceil | int }}
workers: {{ $workers }}
drainSeconds: {{ $drain }}
log: {{ $audit.log | quote }}
adminPort: {{ int ($admin.port | default 9464) }}
adminLoopback: {{ has (toString ($admin.host | default "0.0.0.0")) (list "127.0.0.1" "::1" "localhost") }}
{{- /* What the pod needs and the configuration leaves open, as variables of the product. */}}
variables:
{{- if not $runtime.directory }}
  BORDERPOST_RUNTIME__DIRECTORY: /run/borderpost-state/run
{{- end }}
{{- if not $audit.directory }}
  BORDERPOST_AUDIT__DIRECTORY: /var/lib/borderpost/audit
{{- end }}
{{- if not $counters.directory }}
  BORDERPOST_COUNTERS__DIRECTORY: /var/lib/borderpost/counters
{{- end }}
{{- if not $admin.host }}
  BORDERPOST_ADMIN__HOST: 0.0.0.0
{{- end }}
{{- /* Keys that only a new process takes (BP0608): when they change, pods are replaced; all else is taken as it runs. */}}
labels: {{ $istio.workload | default .Values.gateway.labels | default (dict "istio" "ai-gateway") | toJson }}
trustedProxies: {{ int ($istio.trusted_proxies | default .Values.gateway.trustedProxies | default 0) }}
{{- /* What the section `istio` gives the pods is made by `borderpost render istio`. */}}
disruptionBudget: {{ ternary (not $istio) .Values.disruptionBudget.enabled (kindIs "invalid" .Values.disruptionBudget.enabled) }}
egress: {{ not $istio }}
restart: {{ list (dict "server" $server) (dict "audit" $audit) (dict "runtime" $runtime) (dict "admin" $admin) | toJson | sha256sum | quote }}
{{- end }}

{{/* Ends the rendering if a directory that the configuration says lies not below a volume: (key, directory, volume, what it is). */}}
{{- define "borderpost.below" -}}
{{- $key := index . 0 }}{{- $directory := index . 1 }}{{- $volume := index . 2 }}{{- $what := index . 3 }}
{{- if and $directory (or (not (hasPrefix (printf "%s/" $volume) (toString $directory))) (contains ".." (toString $directory))) }}
{{- fail (printf "config: %s is %v: in the pod it lies below %s, %s" $key $directory $volume $what) }}
{{- end }}
{{- end }}
