{{- define "roost.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: roost
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "roost.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* Pod and container settings of the "restricted" Pod Security Standard. */}}
{{- define "roost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "roost.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What the operator does to a cluster's objects; the least that the reconcile step writes and reads. */}}
{{- define "roost.operatorRules" -}}
- apiGroups: [starrocks.com]
  resources: [starrocksclusters]
  verbs: [get, list, watch]
- apiGroups: [starrocks.com]
  resources: [starrocksclusters/status, starrocksclusters/scale]
  verbs: [patch]
- apiGroups: [starrocks.com]
  resources: [starrocksclusters/finalizers, starrockswarehouses/finalizers]
  verbs: [update]
- apiGroups: [starrocks.com]
  resources: [starrockswarehouses]
  verbs: [get, list, watch, patch]
- apiGroups: [starrocks.com]
  resources: [starrockswarehouses/status, starrockswarehouses/scale]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create, patch]
{{- end -}}

{{- define "roost.scalerRules" -}}
- apiGroups: [starrocks.com]
  resources: [starrocksclusters, starrockswarehouses]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- if .Values.scaler.secretNames }}
  resourceNames: {{ toJson .Values.scaler.secretNames }}
{{- end }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch]
{{- end -}}
