{{- define "name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A StatefulSet adds a hash of 11 characters to this for a label of 63. */}}
{{- define "fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "selectorLabels" -}}
app.kubernetes.io/name: {{ include "name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "labels" -}}
{{ include "selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The librdkafka properties of the consumer. Kubernetes fills in the names of the pod and of its namespace. */}}
{{- define "consumerProperties" -}}
{{- $properties := .Values.consumerProperties -}}
{{- if .Values.staticMembership -}}
{{- $properties = mergeOverwrite (dict "group.instance.id" "$(POD_NAMESPACE).$(POD_NAME)") $properties -}}
{{- end -}}
{{- if $properties }}{{ toJson $properties }}{{ end -}}
{{- end -}}

{{/* What a schema can't say, because it is about two values. */}}
{{- define "validate" -}}
{{- if and .Values.keda.enabled (gt (int .Values.keda.minReplicas) (int .Values.keda.partitions)) -}}
{{- fail (printf "keda.minReplicas is %d, and there are %d partitions" (int .Values.keda.minReplicas) (int .Values.keda.partitions)) -}}
{{- end -}}
{{- $stop := .Values.config.consumer.shutdown_timeout_ms | default 25000 | int -}}
{{- if le (mul 1000 (int .Values.terminationGracePeriodSeconds)) $stop -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: it must be longer than config.consumer.shutdown_timeout_ms, %d ms" (int .Values.terminationGracePeriodSeconds) $stop) -}}
{{- end -}}
{{- if and .Values.messageSchema (dig "message" "schema" "" .Values.config) -}}
{{- fail "messageSchema is given, and config.message.schema too: only one of them can say what a message must be" -}}
{{- end -}}
{{- if and .Values.messageSchema (eq .Values.resources.limits.memory "256Mi") -}}
{{- fail "messageSchema needs more memory than the default of resources.limits.memory: set it to 320Mi" -}}
{{- end -}}
{{- end -}}
