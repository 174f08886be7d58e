package deploy

import (
	"fmt"
	"io"
	"log"
	"maps"
	"strings"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const chartPath = project + "/deploy/helm/kafka-mongo-consumer"

// objects are those of one rendering by their kind; there is one of each.
type objects map[string]any

// add decodes an object into Kubernetes' own type. An unknown field, or one that is missing or of a wrong type, is an error.
func (all objects) add(document []byte) error {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	known := map[string]any{
		"v1/ConfigMap":                            &core.ConfigMap{},
		"v1/Service":                              &core.Service{},
		"v1/ServiceAccount":                       &core.ServiceAccount{},
		"apps/v1/StatefulSet":                     &apps.StatefulSet{},
		"policy/v1/PodDisruptionBudget":           &policy.PodDisruptionBudget{},
		"networking.k8s.io/v1/NetworkPolicy":      &networking.NetworkPolicy{},
		"monitoring.coreos.com/v1/PodMonitor":     &monitoring.PodMonitor{},
		"monitoring.coreos.com/v1/PrometheusRule": &monitoring.PrometheusRule{},
		"keda.sh/v1alpha1/ScaledObject":           &keda.ScaledObject{},
	}
	name := head.APIVersion + "/" + head.Kind
	object, ok := known[name]
	if !ok {
		return fmt.Errorf("an object of the unknown kind %q", name)
	}
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := meetsSchema(name, document); err != nil {
		return err
	}
	if all[head.Kind] != nil {
		return fmt.Errorf("two objects of the kind %s", head.Kind)
	}
	all[head.Kind] = object
	return nil
}

func (all objects) statefulSet() *apps.StatefulSet { return all["StatefulSet"].(*apps.StatefulSet) }

func (all objects) worker() core.Container {
	return all.statefulSet().Spec.Template.Spec.Containers[0]
}

// kustomized is what `kubectl apply -k deploy/kubernetes` would send.
func kustomized(t *testing.T) objects {
	t.Helper()
	return kustomizedIn(t, project+"/deploy/kubernetes")
}

func kustomizedIn(t *testing.T, folder string) objects {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for _, resource := range made.Resources() {
		document, err := resource.AsYAML()
		if err == nil {
			err = all.add(document)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// render is what `helm install kafka-mongo-consumer` would send, or why Helm refuses these values.
func render(values string) (objects, error) {
	// Helm says each time that the rules are a link to those of Prometheus.
	log.SetOutput(io.Discard)
	chart, err := loader.Load(chartPath)
	if err != nil {
		return nil, err
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "kafka-mongo-consumer", Namespace: "messages", IsInstall: true}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	all, err := chartutil.ToRenderValues(chart, given, release, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, err
	}
	made := objects{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			if err := made.add([]byte(text)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return made, nil
}

func rendered(t *testing.T, values string) objects {
	t.Helper()
	all, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func kinds(all objects) map[string]bool {
	found := map[string]bool{}
	for kind := range maps.Keys(all) {
		found[kind] = true
	}
	return found
}
