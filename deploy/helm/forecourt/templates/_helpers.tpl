{{- define "forecourt.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "forecourt.selector" -}}
app.kubernetes.io/name: forecourt
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "forecourt.labels" -}}
{{ include "forecourt.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "forecourt.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "forecourt.divided" -}}
{{- range .Values.roles -}}{{- if .modules -}}true{{- end -}}{{- end -}}
{{- end -}}

{{- /* Where the modules live that a role has not got, as FORECOURT_PEERS has it; for a role that serves also who else is there, which
/api/status tells of. */ -}}
{{- define "forecourt.peers" -}}
{{- $root := .root -}}
{{- $own := .role.modules -}}
{{- $peers := list -}}
{{- range $name, $role := $root.Values.roles -}}
{{- if eq $role.duty "serve" -}}
{{- range $module := $role.modules -}}
{{- if not (has $module $own) -}}
{{- $peers = append $peers (printf "%s=http://%s-%s:8000" $module (include "forecourt.name" $root) $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .role.duty "serve" -}}
{{- range $duty := list "realtime" "worker" -}}
{{- $urls := list -}}
{{- range $name, $role := $root.Values.roles -}}
{{- if eq $role.duty $duty -}}
{{- $urls = append $urls (printf "http://%s-%s:8000" (include "forecourt.name" $root) $name) -}}
{{- end -}}
{{- end -}}
{{- if $urls -}}
{{- $peers = append $peers (printf "%s=%s" $duty (join "|" $urls)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "," $peers -}}
{{- end -}}

{{- define "forecourt.settings" -}}
- name: FORECOURT_ENV
  value: production
- name: FORECOURT_PUBLIC_URL
  value: {{ required "publicUrl must be set: the address people use, such as https://book.example.org" .Values.publicUrl | quote }}
- name: FORECOURT_DRAIN_S
  value: {{ .Values.drainSeconds | quote }}
- name: DATABASE_URL_FILE
  value: /run/secrets/forecourt/database-url
- name: VALKEY_URL_FILE
  value: /run/secrets/forecourt/valkey-url
- name: FORECOURT_SECRET_KEY_FILE
  value: /run/secrets/forecourt/secret-key
{{- if include "forecourt.divided" . }}
- name: FORECOURT_CONTRACT_KEYS_FILE
  value: /run/secrets/forecourt/contract-keys
{{- end }}
{{- range $name, $key := .Values.secretSettings }}
- name: {{ $name }}_FILE
  value: /run/secrets/forecourt/{{ $key }}
{{- end }}
{{- if not .Values.settings.FORECOURT_MEDIA_URL }}
{{- fail "settings.FORECOURT_MEDIA_URL must be set, such as s3://bucket/prefix: pods keep no files" }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- $secret := .Values.existingSecret }}
{{- range $name, $key := .Values.bucketKeys }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $key }}}}
{{- end }}
{{- end -}}

{{- /* The files of the Secret that a process reads, and no others. */ -}}
{{- define "forecourt.secretItems" -}}
- {key: database-url, path: database-url}
- {key: valkey-url, path: valkey-url}
- {key: secret-key, path: secret-key}
{{- if include "forecourt.divided" . }}
- {key: contract-keys, path: contract-keys}
{{- end }}
{{- range $name, $key := .Values.secretSettings }}
- {key: {{ $key }}, path: {{ $key }}}
{{- end }}
{{- end -}}

{{- /* What the gateway shows, and everybody behind it asks for. */ -}}
{{- define "forecourt.gatewayKeys" -}}
- name: FORECOURT_GATEWAY_KEYS_FILE
  value: /run/secrets/forecourt/gateway-keys
{{- end -}}

{{- define "forecourt.gatewayItem" -}}
- {key: gateway-keys, path: gateway-keys}
{{- end -}}

{{- define "forecourt.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "forecourt.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "forecourt.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
