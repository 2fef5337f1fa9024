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
{{- if .Values.postgres.enabled }}
- name: DATABASE_REPLICA_URL_FILE
  value: /run/secrets/forecourt/database-replica-url
# Whoever answers at the database's address shows that it is the operator's.
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: /run/secrets/postgres/ca.crt
{{- end }}
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
{{- if .Values.postgres.enabled }}
- {key: database-replica-url, path: database-replica-url}
{{- end }}
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

{{- /* Of the Secret of the operator's authority the certificate, not the key. */ -}}
{{- define "forecourt.authority" -}}
- name: authority
  secret:
    secretName: {{ include "forecourt.name" . }}-postgres-ca
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
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

{{- /* An amount of cores, or of things, in thousandths. */ -}}
{{- define "forecourt.millis" -}}
{{- $amount := toString . -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?m?$" $amount) -}}{{- fail (printf "%s is no amount such as 250m or 2" $amount) -}}{{- end -}}
{{- if hasSuffix "m" $amount -}}{{- trimSuffix "m" $amount -}}{{- else -}}{{- mulf (float64 $amount) 1000 -}}{{- end -}}
{{- end -}}

{{- /* An amount of memory or of disk, in MiB. */ -}}
{{- define "forecourt.mebibytes" -}}
{{- $amount := toString . -}}
{{- $unit := regexFind "[A-Za-z]+$" $amount -}}
{{- $units := dict "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 -}}
{{- if not (and (hasKey $units $unit) (regexMatch "^[0-9]+(\\.[0-9]+)?[KMGT]i$" $amount)) -}}
{{- fail (printf "%s is no amount such as 512Mi or 2Gi" $amount) -}}
{{- end -}}
{{- mulf (trimSuffix $unit $amount | float64) (get $units $unit) -}}
{{- end -}}

{{- /* What runs here, each with how many pods there are of it at most while it is replaced, and with what they may request then.
`vertical` is how its VerticalPodAutoscaler works. */ -}}
{{- define "forecourt.parts" -}}
{{- $vertical := .Values.verticalAutoscaling -}}
{{- $parts := list -}}
{{- range $name, $role := .Values.roles -}}
{{- $scaled := $role.autoscaling.enabled -}}
{{- $count := ternary $role.autoscaling.maxReplicas ($role.replicas | default 2) $scaled -}}
{{- $mode := ternary "Off" $vertical.mode $scaled -}}
{{- $parts = append $parts (dict "name" $name "pods" (add $count 1) "resources" $role.resources "vertical" $mode) -}}
{{- end -}}
{{- with .Values.gateway -}}
{{- if .enabled -}}
{{- $parts = append $parts (dict "name" "gateway" "pods" (add .replicas 1) "resources" .resources "vertical" $vertical.mode) -}}
{{- end -}}
{{- end -}}
{{- if .Values.migration.enabled -}}
{{- $parts = append $parts (dict "name" "migrate" "pods" 1 "resources" .Values.migration.resources) -}}
{{- end -}}
{{- with .Values.valkey -}}
{{- if .enabled -}}
{{- $parts = append $parts (dict "name" "valkey" "pods" 1 "resources" .resources) -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgres -}}
{{- if .enabled -}}
{{- /* One more, for a job of the operator that makes another instance. */ -}}
{{- $parts = append $parts (dict "name" "postgres" "pods" (add .instances 1) "resources" .resources) -}}
{{- if .backup.enabled -}}
{{- $parts = append $parts (dict "name" "postgres-archive" "beside" (add .instances 1) "pods" 0 "resources" (include "forecourt.sidecar" . | fromYaml)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{- /* Of the plugin's container in every pod of PostgreSQL. */ -}}
{{- define "forecourt.sidecar" -}}
requests: {cpu: 100m, memory: 128Mi}
limits: {memory: 512Mi}
{{- end -}}

{{- /* What all parts need at their largest, as a ResourceQuota says it, and the memory of the largest container. */ -}}
{{- define "forecourt.needed" -}}
{{- $vertical := .Values.verticalAutoscaling -}}
{{- $cpu := 0.0 -}}{{- $memory := 0.0 -}}{{- $bound := 0.0 -}}{{- $pods := 0 -}}{{- $largest := 0.0 -}}
{{- range $part := include "forecourt.parts" . | fromJsonArray -}}
{{- $count := $part.beside | default $part.pods -}}
{{- $wanted := include "forecourt.millis" $part.resources.requests.cpu | float64 -}}
{{- $kept := include "forecourt.mebibytes" $part.resources.requests.memory | float64 -}}
{{- $most := include "forecourt.mebibytes" $part.resources.limits.memory | float64 -}}
{{- if and $vertical.enabled $part.vertical (ne ($part.vertical | default "Off") "Off") -}}
{{- $wanted = maxf $wanted (include "forecourt.millis" $vertical.maxCpu | float64) -}}
{{- $kept = $most -}}
{{- end -}}
{{- $cpu = addf $cpu (mulf $count $wanted) -}}
{{- $memory = addf $memory (mulf $count $kept) -}}
{{- $bound = addf $bound (mulf $count $most) -}}
{{- $pods = add $pods $part.pods -}}
{{- $largest = maxf $largest $most -}}
{{- end -}}
{{- $hard := dict "requests.cpu" (printf "%dm" (ceil $cpu | int64)) "requests.memory" (printf "%dMi" (ceil $memory | int64)) -}}
{{- $_ := set $hard "limits.memory" (printf "%dMi" (ceil $bound | int64)) -}}
{{- $_ := set $hard "pods" (toString $pods) -}}
{{- $volumes := 0 -}}{{- $disk := 0.0 -}}
{{- with .Values.postgres -}}
{{- if .enabled -}}
{{- /* One more: an instance that is lost is made anew before its volumes are let go. */ -}}
{{- $volumes = mul 2 (add .instances 1) -}}
{{- $each := addf (include "forecourt.mebibytes" .storage.size | float64) (include "forecourt.mebibytes" .walStorage.size | float64) -}}
{{- $disk = mulf $each (add .instances 1) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $hard "persistentvolumeclaims" (toString $volumes) -}}
{{- $_ := set $hard "requests.storage" (printf "%dMi" (ceil $disk | int64)) -}}
{{- toJson (dict "hard" $hard "largest" (printf "%dMi" (ceil $largest | int64))) -}}
{{- end -}}
