{{/* Names, labels and what the chart takes as given of the image and of Kubernetes. */}}

{{- define "borderpost.name" -}}
{{- .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Labels by which the pods are selected; they never change. */}}
{{- define "borderpost.selector" -}}
app.kubernetes.io/name: borderpost
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "borderpost.labels" -}}
{{ include "borderpost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: borderpost
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "borderpost.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}
