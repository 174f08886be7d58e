package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copied are the files and folders of the checkout that the Dockerfile copies.
func copied(t *testing.T) []string {
	t.Helper()
	var sources []string
	for _, line := range strings.Split(read(t, "Dockerfile"), "\n") {
		words := strings.Fields(line)
		if len(words) > 2 && words[0] == "COPY" && !strings.HasPrefix(words[1], "--from=") {
			sources = append(sources, words[1:len(words)-1]...)
		}
	}
	return sources
}

func TestBuildGetsExactlyWhatItCopies(t *testing.T) {
	needed := copied(t)
	for _, source := range needed {
		if _, err := os.Stat(filepath.Join(project, source)); err != nil {
			t.Error(err)
		}
	}
	for _, line := range strings.Split(read(t, ".dockerignore"), "\n") {
		allowed, ok := strings.CutPrefix(line, "!")
		if !ok {
			if line != "" && line != "*" && !strings.HasPrefix(line, "#") {
				t.Errorf("this test doesn't know the rule %q of .dockerignore", line)
			}
			continue
		}
		var rest []string
		used := false
		for _, source := range needed {
			if source == allowed || strings.HasPrefix(source, strings.TrimSuffix(allowed, "/")+"/") {
				used = true
			} else {
				rest = append(rest, source)
			}
		}
		if !used {
			t.Errorf("the build gets %s, and copies nothing of it", allowed)
		}
		needed = rest
	}
	if len(needed) > 0 {
		t.Errorf(".dockerignore keeps %v out of the build", needed)
	}
}

func TestEveryPackageOfTheWorkspaceIsThere(t *testing.T) {
	manifests, err := filepath.Glob(filepath.Join(project, "tools/*/Cargo.toml"))
	if err != nil || len(manifests) == 0 {
		t.Fatal("no packages", err)
	}
	for _, manifest := range manifests {
		path, _ := filepath.Rel(project, manifest)
		if !strings.Contains(read(t, "Dockerfile"), "COPY "+path+" ") {
			t.Errorf("the Dockerfile doesn't copy %s: cargo would refuse the workspace", path)
		}
	}
}

func TestOneVersion(t *testing.T) {
	version := ""
	for _, line := range strings.Split(read(t, "Cargo.toml"), "\n") {
		if value, ok := strings.CutPrefix(line, "version = "); ok && version == "" {
			version = strings.Trim(value, `"`)
		}
	}
	if version == "" {
		t.Fatal("Cargo.toml has no version")
	}
	if image := dockerfileLine(t, "ARG VERSION="); image != version {
		t.Errorf("the image says %s, Cargo.toml %s", image, version)
	}
	for _, line := range []string{"\nversion: " + version + "\n", "\nappVersion: " + version + "\n"} {
		if !strings.Contains(read(t, "deploy/helm/kafka-mongo-consumer/Chart.yaml"), line) {
			t.Errorf("Chart.yaml has not %q", line)
		}
	}
	if !strings.Contains(read(t, "deploy/kubernetes/kustomization.yaml"), "newTag: "+version+"\n") {
		t.Errorf("kustomization.yaml has not the tag %s", version)
	}
}
