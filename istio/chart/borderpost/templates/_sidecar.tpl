{{/*
Borderpost as a native sidecar: an init container that goes on running. Envoy starts once it is ready, and stops before
it does, so at no time is there an Envoy without somebody to ask.
*/}}
{{- define "borderpost.sidecar" -}}
{{- $settings := include "borderpost.settings" . | fromYaml -}}
name: borderpost
image: {{ include "borderpost.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
restartPolicy: Always
args: [serve]
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  # Each pod writes a log of its own, so each has a name of its own.
  - name: BORDERPOST_AUDIT__LOG
    value: {{ printf "%s/$(POD_NAME)" $settings.log | quote }}
  {{- with $settings.variables }}
  # What the configuration leaves open and the pod needs.
  {{- range $name, $value := . }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  {{- end }}
securityContext:
  runAsUser: {{ .Values.borderpost.user }}
  # Envoy's group, which the socket then has: its mode is 0660.
  runAsGroup: {{ .Values.gateway.group }}
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
resources:
  {{- toYaml (.Values.borderpost.resources | default (include "borderpost.resources" . | fromYaml)) | nindent 2 }}
ports:
  - {name: admin, containerPort: {{ $settings.adminPort }}, protocol: TCP}
startupProbe:
  {{- include "borderpost.probe" (list $settings "/readyz") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: {{ div .Values.borderpost.startupSeconds 2 }}
livenessProbe:
  {{- include "borderpost.probe" (list $settings "/livez") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- include "borderpost.probe" (list $settings "/readyz") | nindent 2 }}
  periodSeconds: {{ ternary 15 5 $settings.adminLoopback }}
  timeoutSeconds: 5
  failureThreshold: 1
volumeMounts:
  - {name: borderpost-config, mountPath: /etc/borderpost, readOnly: true}
  - {name: borderpost-socket, mountPath: /run/borderpost}
  - {name: borderpost-state, mountPath: /run/borderpost-state}
  - {name: evidence, mountPath: /var/lib/borderpost}
  {{- range .Values.keys }}
  - {name: {{ printf "keys-%s" .name }}, mountPath: {{ printf "/etc/borderpost-keys/%s" .name }}, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What asks the admin server: the kubelet, or where it listens on loopback a command in the container. */}}
{{- define "borderpost.probe" -}}
{{- $settings := index . 0 }}{{- $path := index . 1 }}
{{- if $settings.adminLoopback -}}
exec: {command: [borderpost, ready{{ if eq $path "/livez" }}, --live{{ end }}]}
{{- else -}}
httpGet: {path: {{ $path }}, port: admin}
{{- end }}
{{- end }}

{{/* Measured figures, by the number of workers; values.yaml says where they come from. */}}
{{- define "borderpost.resources" -}}
{{- $workers := (include "borderpost.settings" . | fromYaml).workers | int -}}
requests:
  cpu: {{ mul $workers 150 }}m
  memory: {{ add 64 (mul $workers 96) }}Mi
limits:
  memory: {{ mul 2 (add 64 (mul $workers 96)) }}Mi
{{- end }}

{{- define "borderpost.volumes" -}}
- name: borderpost-config
  configMap: {name: {{ include "borderpost.name" . }}-config}
# Memory, so that no disk stands between Envoy and the sidecar. Envoy sees it read-only: it connects, and cannot
# put another socket there.
- name: borderpost-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
# Memory too, because a hanging disk would hang the steward. Envoy does not see it.
- name: borderpost-state
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- range .Values.keys }}
- name: {{ printf "keys-%s" .name }}
  secret: {secretName: {{ .secretName }}, defaultMode: 0440}
{{- end }}
{{- if eq .Values.evidence.storage "emptyDir" }}
{{- if ne .Values.evidence.diesWithPod "accepted" }}
{{- fail "evidence.storage is emptyDir: the record of every decision would die with its pod. Use `claim`, or say evidence.diesWithPod=accepted" }}
{{- end }}
# Dies with its pod: somebody has accepted that.
- name: evidence
  emptyDir: {sizeLimit: {{ .Values.evidence.size }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
