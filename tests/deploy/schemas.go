package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"
)

// schemaOf has the definition of each kind in the schema that Kubernetes publishes. The types of custom resources aren't in
// it.
var schemaOf = map[string]string{
	"v1/ConfigMap":                       "io.k8s.api.core.v1.ConfigMap",
	"v1/Service":                         "io.k8s.api.core.v1.Service",
	"v1/ServiceAccount":                  "io.k8s.api.core.v1.ServiceAccount",
	"apps/v1/StatefulSet":                "io.k8s.api.apps.v1.StatefulSet",
	"policy/v1/PodDisruptionBudget":      "io.k8s.api.policy.v1.PodDisruptionBudget",
	"networking.k8s.io/v1/NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
}

// kubernetes is the schema of Kubernetes 1.21, which kustomize brings along. It knows the fields that are required.
var kubernetes = sync.OnceValue(func() *jsonschema.Compiler {
	text, err := json.Marshal(map[string]any{"definitions": openapi.Schema().Definitions})
	if err != nil {
		panic(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	withoutEitherType(schema)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	if err := compiler.AddResource("kubernetes.json", schema); err != nil {
		panic(err)
	}
	return compiler
})

// withoutEitherType removes the type where it says "string" and a number is as good.
func withoutEitherType(schema any) {
	switch node := schema.(type) {
	case map[string]any:
		if format := node["format"]; format == "int-or-string" {
			delete(node, "type")
		}
		for _, inner := range node {
			withoutEitherType(inner)
		}
	case []any:
		for _, inner := range node {
			withoutEitherType(inner)
		}
	}
}

// meetsSchema fails if the object lacks a field that Kubernetes requires, or has a value of another type.
func meetsSchema(name string, document []byte) error {
	definition, ok := schemaOf[name]
	if !ok {
		return nil
	}
	schema, err := kubernetes().Compile("kubernetes.json#/definitions/" + definition)
	if err != nil {
		return err
	}
	text, err := yaml.YAMLToJSON(document)
	if err != nil {
		return err
	}
	object, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := schema.Validate(object); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
