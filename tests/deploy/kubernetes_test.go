package deploy

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// What an object of the chart has and one of kustomize doesn't: Helm's own labels, and the two ways to notice a change
// of the configuration.
func withoutOrigin(t *testing.T, all objects) string {
	t.Helper()
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	hashed := all["ConfigMap"].(*core.ConfigMap).Name
	tree = mapped(tree, hashed)
	text, err = yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mapped(tree any, hashed string) any {
	switch node := tree.(type) {
	case map[string]any:
		for _, key := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "checksum/config"} {
			delete(node, key)
		}
		for key, value := range node {
			node[key] = mapped(value, hashed)
			if inner, ok := node[key].(map[string]any); ok && key == "annotations" && len(inner) == 0 {
				delete(node, key)
			}
		}
	case []any:
		for index, value := range node {
			node[index] = mapped(value, hashed)
		}
	case string:
		if node == hashed {
			return "kafka-mongo-consumer"
		}
		var config any
		if strings.HasPrefix(node, "{\n") && json.Unmarshal([]byte(node), &config) == nil {
			return config
		}
	}
	return tree
}

func TestChartAndKustomizeMakeTheSameObjects(t *testing.T) {
	chart, base := withoutOrigin(t, rendered(t, "")), withoutOrigin(t, kustomized(t))
	if chart != base {
		t.Errorf("they differ:\n%s", difference(chart, base))
	}
}

// difference shows the lines that only one of the texts has.
func difference(left, right string) string {
	var out strings.Builder
	for _, side := range []struct{ mark, own, other string }{{"chart:     ", left, right}, {"kustomize: ", right, left}} {
		has := map[string]bool{}
		for _, line := range strings.Split(side.other, "\n") {
			has[line] = true
		}
		for _, line := range strings.Split(side.own, "\n") {
			if !has[line] {
				out.WriteString(side.mark + line + "\n")
			}
		}
	}
	return out.String()
}

func TestPodFitsTheWorkersConfiguration(t *testing.T) {
	all := kustomized(t)
	config := parseSettings(t, all["ConfigMap"].(*core.ConfigMap).Data["config.json"])
	pod, worker := all.statefulSet().Spec.Template.Spec, all.worker()

	if grace := *pod.TerminationGracePeriodSeconds * 1000; grace <= config.Consumer.ShutdownTimeoutMs {
		t.Errorf("a stop may take %d ms, and the pod has %d ms", config.Consumer.ShutdownTimeoutMs, grace)
	}
	if port := uint32(worker.Ports[0].ContainerPort); port != config.Metrics.Port {
		t.Errorf("the container's port is %d, the metrics are on %d", port, config.Metrics.Port)
	}
	mounts := map[string]string{}
	for _, mount := range worker.VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	if place := dockerfileLine(t, "ENV CONSUMER_CONFIG="); mounts["config"] != place {
		t.Errorf("the image reads %s, the configuration is at %s", place, mounts["config"])
	}
	if directory := path.Dir(config.Control.Socket); mounts["run"] != directory {
		t.Errorf("the socket is in %s, the folder that can be written to is %s", directory, mounts["run"])
	}
	if config.MongoDB.URI != "" {
		t.Error("the URI has credentials: it belongs into the secret")
	}
	for _, variable := range worker.Env {
		if strings.HasSuffix(variable.Name, "_FILE") && path.Dir(variable.Value) != mounts["secret"] {
			t.Errorf("%s is %s, the secret is at %s", variable.Name, variable.Value, mounts["secret"])
		}
	}
}

func TestEachPodIsAStaticMemberByItsName(t *testing.T) {
	variables := map[string]core.EnvVar{}
	for _, variable := range kustomized(t).worker().Env {
		variables[variable.Name] = variable
	}
	given := variables["CONSUMER__KAFKA__CONSUMER_PROPERTIES"].Value
	for name, field := range map[string]string{"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"} {
		if variables[name].ValueFrom == nil || variables[name].ValueFrom.FieldRef.FieldPath != field {
			t.Errorf("%s is not %s", name, field)
		}
		given = strings.ReplaceAll(given, "$("+name+")", field)
	}
	var properties map[string]string
	if err := json.Unmarshal([]byte(given), &properties); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"group.instance.id": "metadata.namespace.metadata.name"}; !maps.Equal(properties, want) {
		t.Errorf("%v instead of %v", properties, want)
	}
}

func TestPodMeetsTheRestrictedSecurityStandard(t *testing.T) {
	for name, all := range map[string]objects{
		"default":                         rendered(t, ""),
		"a user that the cluster chooses": rendered(t, "podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}"),
	} {
		pod, worker := all.statefulSet().Spec.Template.Spec, all.worker()
		security := worker.SecurityContext
		if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
			*security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem ||
			!reflect.DeepEqual(security.Capabilities.Drop, []core.Capability{"ALL"}) || len(security.Capabilities.Add) > 0 {
			t.Errorf("%s: %+v %+v", name, pod.SecurityContext, security)
		}
		if *pod.AutomountServiceAccountToken || *all["ServiceAccount"].(*core.ServiceAccount).AutomountServiceAccountToken {
			t.Errorf("%s: the pod has a token", name)
		}
		if name != "default" && pod.SecurityContext.RunAsUser != nil {
			t.Errorf("%s: it is %d", name, *pod.SecurityContext.RunAsUser)
		}
	}
}

func TestSelectorsFindThePodsAndNothingElse(t *testing.T) {
	all := rendered(t, "podMonitor: {enabled: true}\npodLabels: {team: messages}")
	set := all.statefulSet()
	want := set.Spec.Selector.MatchLabels
	if len(want) != 2 {
		t.Errorf("the selector is %v", want)
	}
	for key, value := range want {
		if set.Spec.Template.Labels[key] != value {
			t.Errorf("the pods have %v", set.Spec.Template.Labels)
		}
	}
	for name, selector := range map[string]map[string]string{
		"service":        all["Service"].(*core.Service).Spec.Selector,
		"network policy": all["NetworkPolicy"].(*networking.NetworkPolicy).Spec.PodSelector.MatchLabels,
		"pod monitor":    all["PodMonitor"].(*monitoring.PodMonitor).Spec.Selector.MatchLabels,
	} {
		if !maps.Equal(selector, want) {
			t.Errorf("%s: %v", name, selector)
		}
	}
}

func TestNobodyReachesTheMetricsIfNobodyIsNamed(t *testing.T) {
	policy := rendered(t, "networkPolicy: {metricsFrom: []}")["NetworkPolicy"].(*networking.NetworkPolicy)
	if len(policy.Spec.Ingress) != 0 || len(policy.Spec.PolicyTypes) != 1 {
		t.Errorf("%+v", policy.Spec)
	}
}

func TestKedaNeverScalesBeyondThePartitionsOrToNothing(t *testing.T) {
	all := rendered(t, "keda: {enabled: true, partitions: 4, triggerMetadata: {tls: enable}, authenticationRef: kafka}")
	scaled := all["ScaledObject"].(*keda.ScaledObject).Spec
	if *scaled.MinReplicaCount != 1 || *scaled.MaxReplicaCount != 4 || scaled.Fallback.Replicas != 4 {
		t.Errorf("%d to %d, %d without an answer", *scaled.MinReplicaCount, *scaled.MaxReplicaCount, scaled.Fallback.Replicas)
	}
	if scaled.ScaleTargetRef.Name != all.statefulSet().Name || all.statefulSet().Spec.Replicas != nil {
		t.Errorf("it scales %s; the set has replicas of its own: %v", scaled.ScaleTargetRef.Name, all.statefulSet().Spec.Replicas)
	}
	metadata := scaled.Triggers[0].Metadata
	if metadata["topic"] != "data-topic" || metadata["consumerGroup"] != "data-consumer-group" ||
		metadata["lagThreshold"] != "10000" || metadata["tls"] != "enable" || scaled.Triggers[0].AuthenticationRef.Name != "kafka" {
		t.Errorf("%v", metadata)
	}
}

func TestRulesAreThoseOfPrometheus(t *testing.T) {
	all := rendered(t, "prometheusRule: {enabled: true, runbookPrefix: 'https://example.net/'}")
	var want monitoring.PrometheusRuleSpec
	text := strings.ReplaceAll(read(t, "deploy/prometheus/alerts.yml"), "runbook_url: docs/", "runbook_url: https://example.net/docs/")
	if err := yaml.UnmarshalStrict([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(all["PrometheusRule"].(*monitoring.PrometheusRule).Spec, want) {
		t.Error("the chart's rules differ from deploy/prometheus/alerts.yml")
	}
}

func TestObjectsThatKubernetesWouldRefuseAreFound(t *testing.T) {
	for document, reason := range map[string]string{
		"{apiVersion: apps/v1, kind: StatefulSet, spec: {serviceName: a, template: {}}}":        "selector",
		"{apiVersion: v1, kind: Service, spec: {ports: [{name: metrics}]}}":                     "port",
		"{apiVersion: policy/v1, kind: PodDisruptionBudget, spec: {maxUnavailable: '1', x: 1}}": "unknown field",
	} {
		if err := (objects{}).add([]byte(document)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestChartRefusesWhatWouldNotWork(t *testing.T) {
	for values, reason := range map[string]string{
		"terminationGracePeriodSeconds: 25":     "must be longer than config.consumer.shutdown_timeout_ms",
		"keda: {enabled: true, minReplicas: 7}": "keda.minReplicas is 7",
		"keda: {minReplicas: 0}":                "/keda/minReplicas",
		"{messageSchema: '{}', config: {message: {schema: any}}, resources: {limits: {memory: 320Mi}}}": "config.message.schema too",
		"config: {mongodb: {uri: 'mongodb://u:p@h'}}":                                                   "/config/mongodb/uri",
		"config: {kafka: {properties: {sasl.password: p}}}":                                             "invalid propertyName 'sasl.password'",
		"config: {kafka: {producer_properties: {ssl.key.pem: p}}}":                                      "invalid propertyName 'ssl.key.pem'",
		"consumerProperties: {sasl.oauthbearer.assertion.private.key.passphrase: p}":                    "invalid propertyName 'sasl.oauthbearer",
		"messageSchema: '{}'":                            "messageSchema needs more memory",
		"config: {kafka: {consumer_properties: {a: b}}}": "/config/kafka/consumer_properties",
		"config: {metrics: {enabled: false}}":            "/config/metrics/enabled",
		"existingSecret: {name: ''}":                     "/existingSecret/name",
		"image: {tag: latest}":                           "/image/tag",
		"image: {digest: abc}":                           "/image/digest",
		"podDisruptionBudget: {maxUnavailable: 0}":       "/podDisruptionBudget/maxUnavailable",
		"resources: {limits: {memory: null}}":            "/resources/limits",
		"replica: 6":                                     "additional properties 'replica'",
	} {
		if _, err := render(values); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", values, err)
		}
	}
}

func TestEveryPartCanBeSwitchedOnAndOff(t *testing.T) {
	on := rendered(t, `
imagePullSecrets: [{name: registry}]
image: {repository: r.example.net/a/b, digest: "sha256:`+strings.Repeat("0", 64)+`", pullPolicy: Always}
podMonitor: {enabled: true}
prometheusRule: {enabled: true}
keda: {enabled: true}
networkPolicy: {egress: [{to: [{namespaceSelector: {}}]}]}
existingSecret: {kafkaPropertiesKey: kafka-properties}
priorityClassName: high
nodeSelector: {kubernetes.io/arch: arm64}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {podAntiAffinity: {}}
topologySpreadConstraints: []
extraEnv: [{name: RUST_LOG, value: info}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/private-ca}]
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
consumerProperties: {session.timeout.ms: 30000}
`)
	if image := on.worker().Image; !strings.HasPrefix(image, "r.example.net/a/b@sha256:") {
		t.Error(image)
	}
	off := rendered(t, `
serviceAccount: {create: false}
podDisruptionBudget: {enabled: false}
networkPolicy: {enabled: false}
staticMembership: false
`)
	if want := map[string]bool{"ConfigMap": true, "Service": true, "StatefulSet": true}; !maps.Equal(kinds(off), want) {
		t.Error(kinds(off))
	}
	for _, variable := range off.worker().Env {
		if variable.Name == "CONSUMER__KAFKA__CONSUMER_PROPERTIES" {
			t.Error("a static member, although that is off")
		}
	}
}

func TestAMessageSchemaIsMountedWhereTheWorkerLooksForIt(t *testing.T) {
	schema := `{"type": "object"}`
	with := rendered(t, "{messageSchema: '"+schema+"', resources: {limits: {memory: 320Mi}}}")
	if text := with["ConfigMap"].(*core.ConfigMap).Data["message.schema.json"]; strings.TrimSpace(text) != schema {
		t.Errorf("the schema is %q", text)
	}
	path := ""
	for _, variable := range with.worker().Env {
		if variable.Name == "CONSUMER__MESSAGE__SCHEMA" {
			path = variable.Value
		}
	}
	mounted := false
	for _, mount := range with.worker().VolumeMounts {
		mounted = mounted || mount.MountPath == path && mount.SubPath == "message.schema.json"
	}
	if !mounted {
		t.Errorf("nothing is mounted at %q", path)
	}
	without := rendered(t, "")
	checksum := func(all objects) string {
		return all.statefulSet().Spec.Template.Annotations["checksum/config"]
	}
	if checksum(with) == checksum(without) {
		t.Error("another schema doesn't replace the pods")
	}
	if _, err := render("config: {message: {schema: /etc/own.json}}"); err == nil {
		t.Error("a path is accepted, although nothing is mounted there")
	}
}

// The kustomization that docs/DEPLOYMENT.md shows, with its part for logins to Kafka.
func TestDocumentedKustomizationCanBeBuilt(t *testing.T) {
	text := ""
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "docs/DEPLOYMENT.md"), -1) {
		if strings.Contains(block[1], "resources: [path/to/deploy/kubernetes]") || strings.HasPrefix(block[1], "patches:") {
			text += block[1]
		}
	}
	folder := t.TempDir()
	base, err := filepath.Abs(project + "/deploy/kubernetes")
	if err == nil {
		base, err = filepath.Rel(folder, base)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"kustomization.yaml": strings.Replace(text, "path/to/deploy/kubernetes", base, 1),
		"config.json":        read(t, "deploy/kubernetes/config.json"),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := kustomizedIn(t, folder)
	if set := all.statefulSet(); set.Namespace != "messages" {
		t.Errorf("the namespace is %q", set.Namespace)
	}
	if image := all.worker().Image; !strings.HasPrefix(image, "registry.example.net/team/") {
		t.Errorf("the image is %q", image)
	}
	for _, variable := range all.worker().Env {
		if variable.Name == "CONSUMER__KAFKA__PROPERTIES_FILE" {
			return
		}
	}
	t.Error("the patch for logins to Kafka changes nothing")
}
