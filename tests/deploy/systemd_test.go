package deploy

import (
	"path"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// unit has the values of each setting of the systemd unit.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, line := range strings.Split(read(t, "deploy/systemd/kafka-mongo-consumer.service"), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			found[name] = append(found[name], value)
		}
	}
	return found
}

func TestUnitFitsTheWorkersConfiguration(t *testing.T) {
	unit, config := unit(t), imageSettings(t)
	seconds, err := strconv.ParseInt(unit["TimeoutStopSec"][0], 10, 64)
	if err != nil || seconds*1000 <= config.Consumer.ShutdownTimeoutMs {
		t.Errorf("a stop may take %d ms, and the unit has %d s", config.Consumer.ShutdownTimeoutMs, seconds)
	}
	variables := strings.Join(unit["Environment"], " ")
	for _, name := range unit["LoadCredential"] {
		credential, _, _ := strings.Cut(name, ":")
		if !strings.Contains(variables, "_FILE=%d/"+credential) {
			t.Errorf("nothing reads the credential %s", credential)
		}
	}
	socket := parseSettings(t, kustomized(t)["ConfigMap"].(*core.ConfigMap).Data["config.json"]).Control.Socket
	if !strings.Contains(variables, "CONSUMER__CONTROL__SOCKET=%t/"+unit["RuntimeDirectory"][0]+"/"+path.Base(socket)) {
		t.Errorf("the socket isn't in the unit's own folder: %s", variables)
	}
}
