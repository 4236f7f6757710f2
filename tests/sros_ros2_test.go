//go:build ros2

package tests

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// sros is a policy of SROS 2.
type sros struct {
	Version  string `xml:"version,attr"`
	Enclaves []struct {
		Path     string        `xml:"path,attr"`
		Profiles []srosProfile `xml:"profiles>profile"`
	} `xml:"enclaves>enclave"`
}

type srosProfile struct {
	NS     string `xml:"ns,attr"`
	Node   string `xml:"node,attr"`
	Topics []struct {
		Publish   string   `xml:"publish,attr"`
		Subscribe string   `xml:"subscribe,attr"`
		Names     []string `xml:"topic"`
	} `xml:"topics"`
	Services []struct {
		Reply   string   `xml:"reply,attr"`
		Request string   `xml:"request,attr"`
		Names   []string `xml:"service"`
	} `xml:"services"`
	Actions []struct {
		Execute string   `xml:"execute,attr"`
		Names   []string `xml:"action"`
	} `xml:"actions"`
}

// full is a name with its namespace, as SROS 2 makes it.
func (p srosProfile) full(name string) string {
	space := strings.TrimSuffix(p.NS, "/") + "/"
	switch name[0] {
	case '/':
		return name
	case '~':
		return space + p.Node + name[1:]
	}
	return space + name
}

// allows is what the profile lets its node do, by kind and name.
func (p srosProfile) allows() map[string][]string {
	all := map[string][]string{"publish": nil, "subscribe": nil, "reply": nil, "request": nil}
	add := func(said, kind string, names []string, below ...string) {
		if said != "ALLOW" {
			return
		}
		for _, n := range names {
			for _, b := range below {
				all[kind] = append(all[kind], p.full(n)+b)
			}
		}
	}
	for _, t := range p.Topics {
		add(t.Publish, "publish", t.Names, "")
		add(t.Subscribe, "subscribe", t.Names, "")
	}
	for _, s := range p.Services {
		add(s.Reply, "reply", s.Names, "")
		add(s.Request, "request", s.Names, "")
	}
	for _, a := range p.Actions {
		add(a.Execute, "publish", a.Names, "/_action/feedback", "/_action/status")
		add(a.Execute, "reply", a.Names, "/_action/send_goal", "/_action/cancel_goal", "/_action/get_result")
	}
	for kind := range maps.Keys(all) {
		slices.Sort(all[kind])
	}
	return all
}

// The example of an enclave allows the agent's node what it does, by its own
// names on the graph, and nothing else.
func TestEnclaveFitsTheNode(t *testing.T) {
	t.Parallel()
	var policy sros
	if err := xml.Unmarshal([]byte(text(t, "../agent/etc/sros2/policy.xml")), &policy); err != nil {
		t.Fatal(err)
	}
	if len(policy.Enclaves) != 1 || len(policy.Enclaves[0].Profiles) != 1 {
		t.Fatalf("%+v", policy)
	}
	profile := policy.Enclaves[0].Profiles[0]
	p := newPlant(t, options{})
	ask := exec.CommandContext(t.Context(), os.Getenv("ROBOT_OTA_PYTHON"), "ros/names.py", profile.Node, profile.NS)
	ask.Env, ask.Stderr = p.env, t.Output()
	out, err := ask.Output()
	if err != nil {
		t.Fatal(err)
	}
	var actual map[string][]string
	if err := json.Unmarshal(out, &actual); err != nil || len(actual) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	for kind, allowed := range profile.allows() {
		for _, name := range actual[kind] {
			if !slices.Contains(allowed, name) {
				t.Errorf("the node does this and may not: %s %s", kind, name)
			}
		}
		for _, name := range allowed {
			if !slices.Contains(actual[kind], name) {
				t.Errorf("the node may do this and does not: %s %s", kind, name)
			}
		}
	}
}
