package deploy

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// loaded checks the file against the schema of the specification, as `docker compose` does.
func loaded(t *testing.T) *types.Project {
	t.Helper()
	directory, err := filepath.Abs(project)
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{
		WorkingDir:  directory,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(directory, "docker-compose.yml")}},
	}
	made, err := loader.LoadWithContext(context.Background(), details, loader.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestOneWorkerForEachPartition(t *testing.T) {
	services, config := loaded(t).Services, imageSettings(t)
	worker := services["consumer"]
	workers := *worker.Deploy.Replicas
	if workers != 6 {
		t.Errorf("the texts say six workers, and there are %d", workers)
	}
	partitions := strconv.Itoa(workers)
	if ofBroker := *services["kafka"].Environment["KAFKA_NUM_PARTITIONS"]; ofBroker != partitions {
		t.Errorf("%d workers, and topics that are created on first use get %s partitions", workers, ofBroker)
	}
	if ofTopics := *services["topics"].Environment["PARTITIONS"]; ofTopics != partitions {
		t.Errorf("%d workers, and the service `topics` creates topics of %s partitions", workers, ofTopics)
	}
	script := strings.Join(services["topics"].Command, " ")
	for _, topic := range []string{config.Kafka.Topic, config.Kafka.DeadLetterTopic} {
		if !strings.Contains(script, "--topic "+topic+` --partitions "${PARTITIONS}"`) {
			t.Errorf("%s gets another number of partitions: %s", topic, script)
		}
	}
	first, last, _ := strings.Cut(worker.Ports[0].Published, "-")
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	if errFrom != nil || errTo != nil || to-from+1 != workers {
		t.Errorf("%d workers, and the ports %s: each worker needs one", workers, worker.Ports[0].Published)
	}
	if create := *services["kafka"].Environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]; create != "true" {
		t.Error("topics are not created on first use")
	}
}

func TestWorkerFitsTheImagesConfiguration(t *testing.T) {
	services, config := loaded(t).Services, imageSettings(t)
	worker := services["consumer"]

	grace := time.Duration(*worker.StopGracePeriod).Milliseconds()
	if grace <= config.Consumer.ShutdownTimeoutMs {
		t.Errorf("a stop may take %d ms, and the container has %d ms", config.Consumer.ShutdownTimeoutMs, grace)
	}
	if config.Kafka.BootstrapServers != "kafka:9092" || config.MongoDB.URI != "mongodb://mongodb:27017" {
		t.Errorf("the image looks for %s and %s", config.Kafka.BootstrapServers, config.MongoDB.URI)
	}
	if !strings.Contains(*services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "://"+config.Kafka.BootstrapServers) {
		t.Error("Kafka is at another address")
	}
	if port := worker.Ports[0]; port.Target != config.Metrics.Port || len(worker.Ports) != 1 {
		t.Errorf("the published port is %+v, the metrics are on %d", port, config.Metrics.Port)
	}
	if port := dockerfileLine(t, "EXPOSE "); port != "8001" || config.Metrics.Port != 8001 {
		t.Errorf("the image exposes %s, the metrics are on %d", port, config.Metrics.Port)
	}
	user := strings.Split(dockerfileLine(t, "USER "), ":")
	socket := *worker.Environment["CONSUMER__CONTROL__SOCKET"]
	if want := filepath.Dir(socket) + ":uid=" + user[0] + ",gid=" + user[1] + ",mode=0700"; worker.Tmpfs[0] != want {
		t.Errorf("the socket needs %s", want)
	}
}

func TestWorkersWaitForWhatTheyNeed(t *testing.T) {
	needs := loaded(t).Services["consumer"].DependsOn
	for name, condition := range map[string]string{
		"kafka":   types.ServiceConditionHealthy,
		"mongodb": types.ServiceConditionHealthy,
		"topics":  types.ServiceConditionCompletedSuccessfully,
	} {
		if needs[name].Condition != condition {
			t.Errorf("%s: %+v", name, needs[name])
		}
	}
}

func TestDeadLettersAreKept(t *testing.T) {
	topics, config := loaded(t).Services["topics"], imageSettings(t)
	script := strings.Join(topics.Command, " ")
	if !strings.Contains(script, "--alter --topic "+config.Kafka.DeadLetterTopic) || !strings.Contains(script, "--topic "+config.Kafka.Topic+" ") {
		t.Errorf("other topics than the worker's: %s", script)
	}
	want := "cleanup.policy=delete,retention.ms=-1,retention.bytes=-1,max.message.bytes=2097152"
	if settings := *topics.Environment["DEAD_LETTER_SETTINGS"]; settings != want {
		t.Errorf("the dead letter topic is set to %s", settings)
	}
}

func TestNothingIsReachedFromOutside(t *testing.T) {
	all := loaded(t)
	if !all.Networks["data"].Internal {
		t.Error("Kafka and MongoDB have no login: their network must be internal")
	}
	for name, service := range all.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes a port beyond this host: %+v", name, port)
			}
		}
		_, isOnMetrics := service.Networks["metrics"]
		if (name == "kafka" || name == "mongodb") && (len(service.Ports) > 0 || isOnMetrics) {
			t.Errorf("%s can be reached from outside", name)
		}
		if service.Deploy == nil || service.Deploy.Resources.Limits == nil || service.Deploy.Resources.Limits.MemoryBytes == 0 {
			t.Errorf("%s has no limit of memory", name)
		}
		if service.Build == nil && (!strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest")) {
			t.Errorf("%s: the version of %s isn't pinned", name, service.Image)
		}
		if service.Restart == "" {
			t.Errorf("%s has no restart policy", name)
		}
	}
}

func TestMonitoringIsThatOfDeploy(t *testing.T) {
	services := loaded(t).Services
	for name, want := range map[string]map[string]string{
		"prometheus": {"deploy/prometheus": "/etc/prometheus"},
		"grafana": {
			"deploy/grafana/provisioning": "/etc/grafana/provisioning",
			"deploy/grafana/dashboards":   "/var/lib/grafana/dashboards",
		},
	} {
		mounted := map[string]string{}
		for _, volume := range services[name].Volumes {
			mounted[volume.Target] = volume.Source
		}
		for source, target := range want {
			if !strings.HasSuffix(mounted[target], "/"+source) {
				t.Errorf("%s has %s at %s", name, mounted[target], target)
			}
		}
	}
	if !strings.Contains(read(t, "deploy/prometheus/prometheus.yml"), `names: ["consumer"]`) {
		t.Error("Prometheus looks for another service")
	}
	if !strings.Contains(read(t, "deploy/grafana/provisioning/datasources/prometheus.yml"), "url: http://prometheus:9090") {
		t.Error("Grafana looks for another Prometheus")
	}
}
