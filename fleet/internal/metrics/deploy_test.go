package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const deploy = "../../deploy"

// promtool is the path of it, from $ROBOT_OTA_PROMTOOL or where it is
// installed. `make test` sets it up; without, tests say what they leave out.
func promtool(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ROBOT_OTA_PROMTOOL"); path != "" {
		return path
	}
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here (apt-get install prometheus, or make setup): rules and metrics are not checked by it")
	}
	return path
}

func tool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), promtool(t), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// The alerts fire when they should, and the example's configuration is one.
func TestAlerts(t *testing.T) {
	dir := filepath.Join(deploy, "prometheus")
	tool(t, dir, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")
	tool(t, dir, "test", "rules", "alerts_test.yml")
	tool(t, dir, "check", "config", "prometheus.yml")
}

var (
	name  = regexp.MustCompile(`\bota_fleet_[a-z_]+`)
	typed = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	alert = regexp.MustCompile(`(?m)^ +- alert: (\S+)$`)
)

// exported are the names that queries may use.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for _, m := range typed.FindAllStringSubmatch(full(t), -1) {
		out[m[1]] = true
		if m[2] == "histogram" {
			out[m[1]+"_bucket"], out[m[1]+"_sum"], out[m[1]+"_count"] = true, true, true
		}
	}
	return out
}

// Every alert is about metrics that there are, and is tested.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	have := exported(t)
	rules, err := os.ReadFile(filepath.Join(deploy, "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(deploy, "prometheus", "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range name.FindAllString(string(rules)+string(tests), -1) {
		if !have[n] {
			t.Errorf("the alerts, or their tests, are about %s, which there is not", n)
		}
	}
	alerts := alert.FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Errorf("%d alerts only", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(string(tests), "alertname: "+a[1]+"\n") {
			t.Errorf("%s is not tested", a[1])
		}
	}
}

// board is what the test reads of Grafana's file.
type board struct {
	Title  string
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ RefID, Expr string }
	}
}

// Every query of the Grafana dashboard is PromQL, about metrics that there are,
// and every metric of the fleet is on it.
func TestGrafana(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(deploy, "grafana", "ota-fleet.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d board
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	have, shown, ids := exported(t), map[string]bool{}, map[int]bool{}
	var rules strings.Builder
	rules.WriteString("groups: [{name: g, rules: [\n")
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: %+v", p.ID, p.Title, p)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			names := name.FindAllString(q.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: %q is about nothing", p.Title, q.Expr)
			}
			for _, n := range names {
				shown[strings.TrimSuffix(n, "_bucket")] = true
				if !have[n] {
					t.Errorf("%s: there is no %s", p.Title, n)
				}
			}
			expr, err := json.Marshal(strings.ReplaceAll(q.Expr, "$__rate_interval", "5m"))
			if err != nil {
				t.Fatal(err)
			}
			rules.WriteString(`{record: "a:b", expr: ` + string(expr) + "},\n")
		}
	}
	rules.WriteString("]}]\n")
	for _, m := range typed.FindAllStringSubmatch(full(t), -1) {
		if !shown[m[1]] {
			t.Errorf("%s is on no panel", m[1])
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "queries.yml"), []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "check", "rules", "--lint=none", "queries.yml")
}
