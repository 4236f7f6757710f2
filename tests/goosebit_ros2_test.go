//go:build ros2

package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// controller is what the robot is called at the server.
	controller = "bot-1"
	robotToken = "7c0ffee7c0ffee7c0ffee7c0ffee7c0f"
)

// goosebit is a hawkBit server that nobody here wrote (PyPI), behind a TLS
// proxy that looks on.
type goosebit struct {
	*plant
	python string
	env    []string
	plain  string // its own address, for operators
	login  string // an operator's token
	proxy  *httptest.Server

	mu     sync.Mutex
	seen   []passed
	cuts   int // how many downloads break off half-way
	states []string
}

// passed is a request that the robot made.
type passed struct {
	what, auth, ranged string
	status             int
}

// newGoosebit starts the server and has the plant's robot take its updates
// from there.
func newGoosebit(t *testing.T) *goosebit {
	t.Helper()
	python := os.Getenv("ROBOT_OTA_GOOSEBIT")
	if python == "" {
		t.Skip("ROBOT_OTA_GOOSEBIT does not name a Python with goosebit: make test does")
	}
	g := &goosebit{plant: newPlant(t, options{}), python: python}
	g.agent.stop()
	g.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PYTHON") }),
		"GOOSEBIT_DB_URI=sqlite://"+g.path("goosebit.sqlite3"), "GOOSEBIT_ARTIFACTS_DIR="+g.dir, "GOOSEBIT_POLL_TIME=00:00:01",
		"GOOSEBIT_DEVICE_AUTH__ENABLE=true", "GOOSEBIT_DEVICE_AUTH__MODE=strict")
	g.rows("tables", controller, robotToken)
	g.startServer()
	g.startProxy()
	if err := os.WriteFile(g.path("token"), []byte(robotToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.follow()
	return g
}

// rows works on the database through goosebit's own models.
func (g *goosebit) rows(args ...string) string {
	g.t.Helper()
	script, err := filepath.Abs("testdata/goosebit_rows.py")
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.CommandContext(g.t.Context(), g.python, append([]string{script}, args...)...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stderr = g.env, g.dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// startServer runs goosebit's own application, on the loopback alone.
func (g *goosebit) startServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.plain = l.Addr().String()
	_, port, _ := net.SplitHostPort(g.plain)
	l.Close()
	env := g.plant.env
	g.plant.env = g.env
	server := g.startIn(g.dir, "goosebit", g.python, "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", port)
	g.plant.env = env
	g.t.Cleanup(func() {
		server.stop()
		if g.t.Failed() {
			g.t.Logf("goosebit:\n%s", tail(server.output(), 4000))
		}
	})
	g.until("goosebit", 60*time.Second, func() bool {
		resp, err := http.PostForm("http://"+g.plain+"/setup", url.Values{"username": {"op"}, "password": {"pw"}}) //nolint:noctx // loopback
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var a struct {
			Token string `json:"access_token"`
		}
		if json.NewDecoder(resp.Body).Decode(&a) != nil {
			return false
		}
		g.login = a.Token
		return a.Token != ""
	})
}

// startIn starts a program that is not one of ours.
func (g *goosebit) startIn(dir, name string, argv ...string) *process {
	g.t.Helper()
	bin := g.bin
	g.bin = "/"
	defer func() { g.bin = bin }()
	return g.start(name, append([]string{"usr/bin/env", "--chdir=" + dir}, argv...)...)
}

// startProxy puts TLS before it, as a fleet's operator would.
func (g *goosebit) startProxy() {
	pair, err := tls.LoadX509KeyPair(g.path("tls/server.pem"), g.path("tls/server-key.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	to := &url.URL{Scheme: "http", Host: g.plain}
	g.proxy = httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			g.look(r.Out)
		},
		ModifyResponse: g.pass,
		ErrorLog:       log.New(io.Discard, "", 0),
	})
	g.proxy.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	g.proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	g.proxy.StartTLS()
	g.t.Cleanup(g.proxy.Close)
}

// look notes in which state the robot is when it says that it is done.
func (g *goosebit) look(r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/feedback") {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil || !bytes.Contains(body, []byte(`"closed"`)) {
		return
	}
	s, err := g.status()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.states = append(g.states, fmt.Sprintf("%s %v", s.State, err))
}

// pass notes what went by, and breaks downloads off.
func (g *goosebit) pass(resp *http.Response) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := resp.Request
	path := r.URL.Path[strings.LastIndex(r.URL.Path, controller)+len(controller):]
	g.seen = append(g.seen, passed{r.Method + " " + path, r.Header.Get("Authorization"), r.Header.Get("Range"), resp.StatusCode})
	if path == "/download" && g.cuts > 0 {
		g.cuts--
		resp.Body = &cutShort{resp.Body, 100 << 10}
	}
	return nil
}

// cutShort is a body that breaks off after so many bytes.
type cutShort struct {
	io.ReadCloser
	left int
}

func (c *cutShort) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, errors.New("cut")
	}
	n, err := c.ReadCloser.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// follow has the robot take its updates from there.
func (g *goosebit) follow() {
	text, err := os.ReadFile(g.path("agent.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(g.proxy.Listener.Addr().String())
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "server:") {
			lines[i] = fmt.Sprintf("server: {url: 'https://localhost:%s', source: hawkbit, hawkbit: {controller_id: %s}, ca_file: %s, token_file: %s}",
				port, controller, g.path("tls/ca.pem"), g.path("token"))
		}
	}
	if err := os.WriteFile(g.path("agent.yaml"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.startAgent()
}

// operator calls goosebit's own API.
func (g *goosebit) operator(method, path string, body any) map[string]any {
	g.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.plain+"/api/v1/"+path, bytes.NewReader(raw))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.login)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %s, %v, %v", method, path, resp.Status, out, err)
	}
	return out
}

// assign rolls a firmware out to the robot; it gives the rollout's id.
func (g *goosebit) assign(version, behaviour string) int {
	g.t.Helper()
	id := g.rows("software", version, g.image(version, behaviour), "standard")
	out := g.operator(http.MethodPut, "rollouts", map[string]any{"name": version, "feed": "default", "software_id": json.Number(id)})
	return int(out["id"].(float64))
}

// row is what goosebit's database says.
type row struct {
	State, Version, Model, Log string
	Progress                   int
	Rollouts                   []struct{ Success, Failure int }
}

func (g *goosebit) row() row {
	g.t.Helper()
	var r row
	if err := json.Unmarshal([]byte(g.rows("show", controller)), &r); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// says waits until goosebit has the robot in a state.
func (g *goosebit) says(state string) {
	g.t.Helper()
	g.until("goosebit's "+state, 20*time.Second, func() bool {
		return g.operator(http.MethodGet, "devices/"+controller, nil)["last_state"] == state
	})
}

// in waits until the agent is in a state.
func (g *goosebit) in(state string, limit time.Duration) reading {
	g.t.Helper()
	var s reading
	g.until(state, limit, func() bool {
		var err error
		s, err = g.status()
		return err == nil && s.State == state
	})
	return s
}

// TestGoosebit: a real server of the protocol, from the registration over a
// download that breaks off, a deferral, a paused rollout, a success, a
// failure and a crash to what its database says in the end.
func TestGoosebit(t *testing.T) {
	t.Parallel()
	g := newGoosebit(t)
	g.heard()
	g.says("Registered")
	if r := g.row(); r.Model != "standard" || r.Version != "0.2.0" {
		t.Errorf("registered as %+v", r)
	}

	g.run("ota-sim", "battery", "--control", g.path("sim.sock"), "--fraction", "0.2")
	g.until("a low battery", 10*time.Second, func() bool {
		return strings.Contains(g.run("ota-agent", "plan", "--socket", g.path("agent.sock"), "--json", "https://localhost/x"), "battery_low")
	})
	g.cuts = 1
	good := g.assign("0.2.1", "good")
	g.in("waiting", 30*time.Second)
	g.until("the deferral's arrival", 20*time.Second, func() bool {
		return strings.Contains(fmt.Sprint(g.operator(http.MethodGet, "devices/"+controller+"/log", nil)["log"]), "battery_low: ")
	})
	if r := g.row(); r.State != "Running" || r.Progress != 100 {
		t.Errorf("while it waits goosebit has %+v", r)
	}
	g.resumed()

	g.operator(http.MethodPatch, "rollouts", map[string]any{"ids": []int{good}, "paused": true})
	if s := g.in("failed", 20*time.Second); s.Failure.Code != "cancelled" {
		t.Errorf("a paused rollout ended with %+v", s.Failure)
	}
	g.operator(http.MethodPatch, "rollouts", map[string]any{"ids": []int{good}, "paused": false})
	g.in("waiting", 20*time.Second)
	if r := g.row(); r.State != "Running" || r.Rollouts[0].Failure != 0 {
		t.Errorf("goosebit took the pause for an end: %+v", r)
	}

	g.run("ota-sim", "battery", "--control", g.path("sim.sock"), "--fraction", "0.9")
	g.in("observing", 40*time.Second)
	g.says("Finished")
	if r := g.row(); r.Version != "0.2.1" || r.Rollouts[0].Success != 1 || !strings.Contains(r.Log, "0.2.1 runs in ota_0 and is confirmed") {
		t.Errorf("goosebit has %+v", r)
	}

	g.assign("0.2.2", "fail_self_test")
	if s := g.in("rolled_back", 40*time.Second); s.Failure == nil {
		t.Errorf("rolled back without a reason: %+v", s)
	}
	g.says("Error")
	if r := g.row(); r.Rollouts[1].Failure != 1 || r.Rollouts[1].Success != 0 || !strings.Contains(r.Log, "0.2.2 was rolled back") {
		t.Errorf("goosebit has %+v", r)
	}
	g.runs("0.2.1")

	// Its operator tries the same again: the robot knows better.
	g.operator(http.MethodPatch, "devices", map[string]any{"devices": []string{controller}, "force_update": true})
	g.until("the second failure", 20*time.Second, func() bool {
		rollouts := g.operator(http.MethodGet, "rollouts", nil)["rollouts"].([]any)
		return rollouts[1].(map[string]any)["failure_count"] == 2.0
	})
	if s, err := g.status(); err != nil || s.State != "failed" || s.Failure.Code != "failed_before" {
		t.Errorf("the second try ended with %+v, %v", s, err)
	}

	// The agent dies while the next one is on trial.
	_, before := g.memory()
	g.assign("0.2.3", "good")
	g.operator(http.MethodPatch, "devices", map[string]any{"devices": []string{controller}, "force_update": true})
	t.Log("killed in", g.killIn("validating", before, 40*time.Second))
	g.startAgent()
	g.in("observing", 40*time.Second)
	g.says("Finished")
	if r := g.row(); r.Version != "0.2.3" || r.Rollouts[2].Success != 1 {
		t.Errorf("goosebit has %+v", r)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if want := []string{"observing <nil>", "rolled_back <nil>", "failed <nil>", "observing <nil>"}; !slices.Equal(g.states, want) {
		t.Errorf("the robot was in %q when it said that it was done, want %q", g.states, want)
	}
	for _, p := range g.seen {
		if p.auth != "TargetToken "+robotToken || p.status >= 400 {
			t.Errorf("a request with %+v", p)
		}
	}
}

// resumed: the download that broke off went on from where it was.
func (g *goosebit) resumed() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var ranges []string
	for _, p := range g.seen {
		if p.what == "GET /download" {
			ranges = append(ranges, fmt.Sprint(p.ranged, " ", p.status))
		}
	}
	if len(ranges) != 2 || ranges[0] != " 200" || !strings.HasPrefix(ranges[1], "bytes=1") || !strings.HasSuffix(ranges[1], " 206") {
		g.t.Errorf("downloads %q", ranges)
	}
}
