//go:build ros2

package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lister has the keys of a fleet's release metadata, and their root document, made with the tools that an owner has.
type lister struct {
	t        *testing.T
	dir, bin string
}

func newLister(t *testing.T, dir string) *lister {
	t.Helper()
	o := &lister{t: t, dir: dir, bin: binaries(t)}
	for _, name := range []string{"a", "b", "c", "targets", "online"} {
		o.run("ota-sign", "keygen", "--key", o.path(name+"-key.pem"), "--pub", o.path(name))
	}
	o.run("ota-sign", "tuf", "init", "--root", o.path("a.der"), "--root", o.path("b.der"), "--root", o.path("c.der"),
		"--targets", o.path("targets.der"), "--online", o.path("online.der"), "--output", o.path("root.json"))
	o.run("ota-sign", "tuf", "sign", "--key", o.path("a-key.pem"), "--key", o.path("c-key.pem"), o.path("root.json"))
	return o
}

func (o *lister) path(name string) string { return filepath.Join(o.dir, name) }

func (o *lister) run(name string, args ...string) {
	o.t.Helper()
	if out, err := run(o.t, filepath.Join(o.bin, name), args...); err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// signs are the flags with which ota-fleet serve signs lists.
func (o *lister) signs() []string {
	return []string{"--online-key", o.path("online-key.pem"), "--targets-key", o.path("targets-key.pem")}
}

// listed waits until the list of releases says what is published.
func (p *plant) listed() {
	p.t.Helper()
	p.until("the list", 20*time.Second, func() bool {
		var show struct{ Differs []string }
		out, _ := p.command("ota-fleet", "metadata", "show", "--data", p.shared("fleet"), "--json").Output() // fails where robots would refuse
		return json.Unmarshal(out, &show) == nil && len(show.Differs) == 0
	})
}

// serveAgain starts a server where the one that was stopped was.
func (p *plant) serveAgain(data string, more ...string) {
	p.t.Helper()
	p.server = p.start("fleet", append([]string{"ota-fleet", "serve", "--data", data, "--listen", strings.Replace(p.addr, "localhost", "127.0.0.1", 1),
		"--tls-cert", p.shared("tls/server.pem"), "--tls-key", p.shared("tls/server-key.pem")}, more...)...)
	server := p.server
	p.t.Cleanup(server.stop)
	p.until("the server", 30*time.Second, func() bool { return strings.Contains(server.output(), "https://") })
}

// A robot that wants release metadata installs what the owner lists, and nothing else: not a file that is published and
// not yet released, and nothing that an earlier state of the server lists, which a thief plays again.
func TestOnlyWhatTheOwnerListsIsInstalled(t *testing.T) {
	t.Parallel()
	own := newLister(t, t.TempDir())
	p := newPlant(t, options{serve: own.signs(), config: "metadata: {required: true, root: " + own.path("root.json") + "}"})
	p.run("ota-fleet", "metadata", "import", "--data", p.shared("fleet"), own.path("root.json"))
	p.heard()
	installs := func(version string) {
		t.Helper()
		p.publish(version, "good")
		p.listed()
		if said, code := p.check(); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", version, code, said)
		}
		p.runs(version)
	}
	refuses := func(said string, code int, why string) {
		t.Helper()
		s, err := p.status()
		if err != nil || code != 3 || s.Failure == nil || s.Failure.Code != why {
			t.Errorf("exit code %d, %+v, %v, want %s\n%s", code, s, err, why, said)
		}
	}
	installs("0.2.1")
	p.server.stop()
	old := p.path("fleet-old")
	if err := os.CopyFS(old, os.DirFS(p.shared("fleet"))); err != nil {
		t.Fatal(err)
	}
	p.serveAgain(p.shared("fleet"), own.signs()...)
	installs("0.2.2")

	early := p.image("0.2.3", "good")
	p.run("ota-fleet", "publish", "--data", p.shared("fleet"), "--sku", "standard", "--key", p.shared("trusted.der"), early)
	before := p.chip()
	said, code := p.follow("https://" + p.addr + "/v1/artifacts/" + digest(t, early))
	refuses(said, code, "metadata_not_listed")

	p.server.stop()
	p.serveAgain(old) // the thief has the server's files, and not its keys
	said, code = p.check()
	refuses(said, code, "metadata_older")
	said, code = p.follow("https://" + p.addr + "/v1/artifacts/" + digest(t, p.path("0.2.1.signed")))
	refuses(said, code, "metadata_older")
	if after := p.chip(); after.NextBoot != before.NextBoot || after.Slots[1] != before.Slots[1] {
		t.Errorf("the chip was touched: %+v, was %+v", after, before)
	}

	p.server.stop()
	p.serveAgain(p.shared("fleet"), own.signs()...)
	installs("0.2.4")
}
