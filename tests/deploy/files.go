// Package deploy checks what operators start the worker with: the image, compose, Kubernetes, Helm and systemd. Each file
// is read by the library that its tool uses, and what must agree between them is compared.
package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const project = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings is a configuration of the worker, as far as these tests look into it.
type settings struct {
	Kafka struct {
		BootstrapServers string `json:"bootstrap_servers"`
		Topic            string `json:"topic"`
		DeadLetterTopic  string `json:"dead_letter_topic"`
	} `json:"kafka"`
	MongoDB struct {
		URI string `json:"uri"`
	} `json:"mongodb"`
	Consumer struct {
		ShutdownTimeoutMs int64 `json:"shutdown_timeout_ms"`
	} `json:"consumer"`
	Metrics struct {
		Port uint32 `json:"port"`
	} `json:"metrics"`
	Control struct {
		Socket string `json:"socket"`
	} `json:"control"`
}

func parseSettings(t *testing.T, text string) settings {
	t.Helper()
	var parsed settings
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// imageSettings is the configuration in the image.
func imageSettings(t *testing.T) settings {
	t.Helper()
	return parseSettings(t, read(t, "config.json"))
}

// dockerfileLine is the rest of the one line of the Dockerfile that begins with this.
func dockerfileLine(t *testing.T, beginning string) string {
	t.Helper()
	var found []string
	for _, line := range strings.Split(read(t, "Dockerfile"), "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), beginning); ok {
			found = append(found, strings.TrimSpace(strings.TrimSuffix(rest, "\\")))
		}
	}
	for _, other := range found {
		if other != found[0] {
			t.Fatalf("%q has several values in the Dockerfile: %q", beginning, found)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no line of the Dockerfile begins with %q", beginning)
	}
	return found[0]
}
