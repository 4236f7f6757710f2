//go:build ros2

package tests

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// plant is one robot with its update server: simulator, server and agent are
// processes of their own, as they are in life.
type plant struct {
	t      *testing.T
	id     string // of the robot
	dir    string
	site   string // folder of what robots share: keys, certificates, published images
	bin    string
	server *process
	sim    *process
	agent  *process
	addr   string       // of the server
	env    []string     // of its processes: a ROS domain of its own
	http   *http.Client // over the agent's control socket
}

// process is a program that runs in the background.
type process struct {
	cmd *exec.Cmd
	log string
	end chan struct{} // closed when it has ended
}

// programs is where the four programs lie, once they are built.
var programs = struct {
	sync.Mutex
	dir string
}{}

// TestMain lets tests that wait for processes run beside each other: more than
// there are cores, as they mostly wait, unless -parallel says how many. At the end
// it takes the programs away.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		if err := flag.Set("test.parallel", strconv.Itoa(min(2*runtime.NumCPU(), 8))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// binaries builds the four programs once for the whole run.
func binaries(t *testing.T) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.dir != "" {
		return programs.dir
	}
	dir, err := os.MkdirTemp("", "robot-ota-bin-")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "ros2", "-o", dir+string(filepath.Separator),
		"../agent/cmd/ota-agent", "../sim/cmd/ota-sim", "../firmware/cmd/ota-sign", "../fleet/cmd/ota-fleet")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v, %v\n%s", err, os.RemoveAll(dir), out)
	}
	programs.dir = dir
	return dir
}

// options of a plant.
type options struct {
	sim    []string // more flags of ota-sim robot
	paced  bool     // line and flash take their time
	config string   // more of the agent's configuration
	server string   // more of its section server
	serve  []string // more flags of ota-fleet serve
	rosCmd []string // more arguments of ota-agent run, and of the robot
	id     string   // of the robot; "": r1
	beside *plant   // a robot with the same server, keys and ROS domain
	dir    string   // for its files; "": a new one
}

// speed: a line and a flash that take no time, unless the test is about them.
func (o options) speed() []string {
	if o.paced {
		return o.sim
	}
	return append([]string{"--unpaced", "--flash-timing", "none"}, o.sim...)
}

// newPlant starts a robot that runs 0.2.0 from factory.
func newPlant(t *testing.T, o options) *plant {
	t.Helper()
	p := &plant{t: t, id: "r1", dir: o.dir, bin: binaries(t)}
	if p.dir == "" {
		p.dir = t.TempDir()
	}
	p.site = p.dir
	if o.id != "" {
		p.id = o.id
	}
	if o.beside == nil {
		p.env = rostest.Environment(t)
	} else {
		p.env = o.beside.env
	}
	p.http = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.path("agent.sock"))
		}, DisableKeepAlives: true,
	}}
	if o.beside == nil {
		p.run("ota-sign", "keygen", "--key", p.shared("s.pem"), "--pub", p.shared("trusted"))
		p.run("ota-fleet", "dev-cert", "--dir", p.shared("tls"), "--host", "localhost")
		p.startServer(o.serve...)
	} else {
		p.site, p.server, p.addr = o.beside.site, o.beside.server, o.beside.addr
	}
	p.run("ota-fleet", "robot", "add", "--data", p.shared("fleet"), "--sku", "standard", "--file", p.path("fleet.token"), p.id)
	p.image("0.2.0", "good")
	p.configure(o)
	p.startSim(o)
	t.Cleanup(func() {
		if p.agent == nil {
			return
		}
		p.agent.stop()
		if t.Failed() {
			t.Logf("agent of %s:\n%s", p.id, tail(p.agent.output(), 6000))
		}
	})
	p.startAgent(o.rosCmd...)
	return p
}

// startSim starts the robot.
func (p *plant) startSim(o options) {
	argv := append([]string{"ota-sim", "robot", "--robot-id", p.id, "--ros", "--pty", p.path("tty"), "--control", p.path("sim.sock"),
		"--self-test", "1s", "--firmware", p.path("0.2.0.bin") + ":factory"}, o.speed()...)
	if len(o.rosCmd) > 0 {
		argv = append(append(argv, "--"), o.rosCmd...)
	}
	p.sim = p.start("sim", argv...)
	p.until("the simulator", 30*time.Second, func() bool { return strings.Contains(p.sim.output(), "ready") })
	p.t.Cleanup(p.sim.stop)
}

func (p *plant) path(name string) string { return filepath.Join(p.dir, name) }

// shared is the path of what robots share.
func (p *plant) shared(name string) string { return filepath.Join(p.site, name) }

// configure writes the agent's configuration.
func (p *plant) configure(o options) {
	reset := fmt.Sprintf("%s, reset, --control, %s", filepath.Join(p.bin, "ota-sim"), p.path("sim.sock"))
	text := fmt.Sprintf(`robot: {id: %s, sku: standard, companion_version: 0.2.0}
state_dir: %s
control_socket: %s
server: {url: "https://%s", ca_file: %s, token_file: %s, check_every: 0%s}
trust: {keys: [%s]}
serial:
  port: %s
  reset:
    method: command
    command:
      bootloader: [%s, --bootloader]
      run: [%s, --run]
trial: {window: 3s, boot_timeout: 6s}
%s
`, p.id, p.path("state"), p.path("agent.sock"), p.addr, p.shared("tls/ca.pem"), p.path("fleet.token"), o.server, p.shared("trusted.der"), p.path("tty"), reset, reset, o.config)
	if !strings.Contains(o.config, "microros:") {
		text += "microros: {unit: \"\"}\n"
	}
	if !strings.Contains(o.config, "gates:") {
		text += "gates: {settle: 200ms}\n" // tests of other things need not wait for longer
	}
	if err := os.WriteFile(p.path("agent.yaml"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) startServer(more ...string) {
	p.server = p.start("fleet", append([]string{"ota-fleet", "serve", "--data", p.shared("fleet"), "--listen", "127.0.0.1:0",
		"--tls-cert", p.shared("tls/server.pem"), "--tls-key", p.shared("tls/server-key.pem")}, more...)...)
	p.until("the server", 30*time.Second, func() bool {
		_, rest, found := strings.Cut(p.server.output(), "https://")
		host, _, line := strings.Cut(rest, "\n")
		if found && line {
			_, port, _ := net.SplitHostPort(strings.TrimSpace(host))
			p.addr = "localhost:" + port
		}
		return p.addr != ""
	})
	p.t.Cleanup(p.server.stop)
}

// startAgent starts the agent and waits until it has heard the robot.
func (p *plant) startAgent(args ...string) {
	p.t.Helper()
	p.agent = p.start("agent", append([]string{"ota-agent", "run", "--config", p.path("agent.yaml")}, args...)...)
	p.until("the agent", time.Minute, func() bool { _, err := p.status(); return err == nil })
}

// service is what the packages add to the environment of the agent: it talks
// to nodes of other users, and one that was killed leaves no shared memory to
// the next.
func service(t *testing.T) (env []string) {
	t.Helper()
	b, err := os.ReadFile("../packaging/ros/ros.env")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			env = append(env, line)
		}
	}
	profile, err := filepath.Abs("../agent/etc/fastdds.xml")
	if err != nil {
		t.Fatal(err)
	}
	return append(env, "FASTRTPS_DEFAULT_PROFILES_FILE="+profile, "FASTDDS_DEFAULT_PROFILES_FILE="+profile)
}

// heard waits until the agent knows what the robot runs.
func (p *plant) heard() {
	p.t.Helper()
	p.until("hearing the firmware", time.Minute, func() bool { s, err := p.status(); return err == nil && s.Running.Version != "" })
}

// image builds and signs a firmware, and returns the path of the signed file.
func (p *plant) image(version, behaviour string, more ...string) string {
	p.t.Helper()
	plain, signed := p.path(version+".bin"), p.path(version+".signed")
	p.run("ota-sim", append([]string{"image", "--version", version, "--behaviour", behaviour, "--size", "256K", "--output", plain}, more...)...)
	p.run("ota-sign", "sign", "--input", plain, "--key", p.shared("s.pem"), "--output", signed, "--version", version)
	return signed
}

// publish puts a firmware on the server and returns its URL.
func (p *plant) publish(version, behaviour string) string {
	p.t.Helper()
	return p.offer(p.image(version, behaviour), "--sku", "standard")
}

// offer puts a signed file on the server and returns its URL.
func (p *plant) offer(signed string, more ...string) string {
	p.t.Helper()
	p.run("ota-fleet", append([]string{"publish", "--stable", "--data", p.shared("fleet"), "--key", p.shared("trusted.der"), signed}, more...)...)
	return "https://" + p.addr + "/v1/artifacts/" + digest(p.t, signed)
}

// command is a program that ends by itself, in the plant's environment.
func (p *plant) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.bin, name), args...)
	cmd.Env = p.env
	return cmd
}

// client is an rclpy node beside the robot.
func (p *plant) client() *rostest.Client {
	p.t.Helper()
	return rostest.NewClientIn(p.t, p.env)
}

// run runs a program to its end.
func (p *plant) run(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts a program in the background; its output goes to a file.
func (p *plant) start(name string, argv ...string) *process {
	p.t.Helper()
	log, err := os.Create(p.path(fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano())))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(p.bin, argv[0]), argv[1:]...) //nolint:noctx // ended by stop and kill
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	if argv[0] == "ota-agent" {
		cmd.Env = append(slices.Clip(p.env), service(p.t)...)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	proc := &process{cmd: cmd, log: log.Name(), end: make(chan struct{})}
	go func() {
		defer close(proc.end)
		_ = cmd.Wait()
	}()
	return proc
}

func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// stop asks the process to end, and ends it if it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.end:
	case <-time.After(15 * time.Second):
		p.kill()
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.end
}

// reading is what the test reads of the agent's status.
type reading struct {
	State   string
	JobID   string `json:"job_id"`
	Running struct{ Version, Slot string }
	Held    bool
	Failure *struct{ Code, Text string }
	Reasons reasons
	Message string
}

// reasons are the gates that stand in the way.
type reasons []struct{ Code, Since string }

func (r reasons) has(code string) bool {
	return slices.ContainsFunc(r, func(x struct{ Code, Since string }) bool { return x.Code == code })
}

func (p *plant) status() (reading, error) {
	var s reading
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://agent/v1/status", http.NoBody)
	if err != nil {
		return s, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s)
}

// trigger asks for an update and returns at once.
func (p *plant) trigger(url string, args ...string) {
	p.t.Helper()
	argv := append([]string{"trigger", "--socket", p.path("agent.sock"), "--detach"}, args...)
	if url != "" {
		argv = append(argv, url)
	}
	p.run("ota-agent", argv...)
}

// ends waits until the job has ended and nothing is held any more.
func (p *plant) ends(limit time.Duration) reading {
	p.t.Helper()
	var s reading
	p.until("the job's end", limit, func() bool {
		var err error
		s, err = p.status()
		return err == nil && !s.Held && (s.State == "observing" || s.State == "failed" || s.State == "rolled_back" || s.State == "idle")
	})
	return s
}

// chip is what lies in the simulated chip, and what it runs.
type chip struct {
	NextBoot string `json:"next_boot"`
	Slots    []slot
}

type slot struct {
	Slot, Version string
	Valid         bool
	OTAState      string `json:"ota_state"`
	Sum           string `json:"image_sha256"`
}

func (p *plant) chip() chip {
	p.t.Helper()
	var c chip
	if err := json.Unmarshal([]byte(p.run("ota-sim", "slots", "--control", p.path("sim.sock"), "--json")), &c); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// runs waits until the agent hears that the robot runs a version.
func (p *plant) runs(version string) {
	p.t.Helper()
	p.until("hearing "+version, time.Minute, func() bool { s, err := p.status(); return err == nil && s.Running.Version == version })
}

// until waits for a condition.
func (p *plant) until(what string, limit time.Duration, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s, err := p.status()
			p.t.Fatalf("%s took longer than %s; the agent says %+v, %v", what, limit, s, err)
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
