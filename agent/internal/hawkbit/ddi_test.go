package hawkbit

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func atSite(t testing.TB) site {
	u, err := url.Parse("https://hawk.example")
	if err != nil {
		t.Fatal(err)
	}
	return newSite(u, "DEFAULT", "r1")
}

func TestSite(t *testing.T) {
	for server, want := range map[string]string{
		"https://h": "https://h/DEFAULT/controller/v1/r1", "https://h/": "https://h/DEFAULT/controller/v1/r1",
		"https://h:8443/ota/": "https://h:8443/ota/DEFAULT/controller/v1/r1",
	} {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		if got := newSite(u, "DEFAULT", "r1").at(); got != want {
			t.Errorf("%s: %s", server, got)
		}
	}
}

func TestRoot(t *testing.T) {
	r, err := atSite(t).parseRoot([]byte(`{
		"config": {"polling": {"sleep": "01:02:03"}},
		"_links": {
			"deploymentBase": {"href": "https://hawk.example/DEFAULT/controller/v1/r1/deploymentBase/12?c=-2129030598"},
			"confirmationBase": {"href": "https://HAWK.example:443/DEFAULT/controller/v1/r1/confirmationBase/13"},
			"cancelAction": {"href": "/DEFAULT/controller/v1/r1/cancelAction/-1"},
			"configData": {"href": "https://elsewhere/"},
			"installedBase": {"href": "file:///etc/passwd"}
		}, "later": null}`))
	at := "https://hawk.example" + base
	want := root{
		sleep: time.Hour + 2*time.Minute + 3*time.Second, config: true,
		deployment:   target{"12", at + "/deploymentBase/12?c=-2129030598"},
		confirmation: target{"13", at + "/confirmationBase/13"},
		cancel:       target{"-1", at + "/cancelAction/-1"},
	}
	if err != nil || r != want {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := atSite(t).parseRoot([]byte(`{}`)); err != nil || r != (root{sleep: usualSleep}) {
		t.Errorf("nothing to do: %+v, %v", r, err)
	}
}

func TestRefusedDocuments(t *testing.T) {
	link := func(href string) string { return `{"_links":{"deploymentBase":{"href":"` + href + `"}}}` }
	at := "https://hawk.example" + base
	for body, want := range map[string]string{
		"":     "no whole JSON document",
		"null": "", // an empty document, as {} is
		"[]":   "not of the form of DDI",
		"{}{}": "something follows",
		`{"config":{"polling":{"sleep":"5 min"}}}`:                             "polling time",
		`{"config":{"polling":{"sleep":"00:60:00"}}}`:                          "polling time",
		`{"config":{"polling":{"sleep":"1000:00:00"}}}`:                        "polling time",
		`{"_links":{"later":{"href":3}}}`:                                      "not of the form of DDI",
		`{"config":{"polling":{"sleep":5}}}`:                                   "not of the form of DDI",
		`{"config":{},"Config":{}}`:                                            `names "config" twice`,
		`{"_links":{"a":{"href":"x","href":"y"}}}`:                             `names "href" twice`,
		strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20):            "nested more than 16 deep",
		strings.Repeat("[", 100_000):                                           "nested more than 16 deep",
		link(""):                                                               "no address",
		link("http://hawk.example" + base + "/deploymentBase/1"):               `leads to "http://hawk.example"`,
		link("https://evil.example" + base + "/deploymentBase/1"):              `leads to "https://evil.example"`,
		link("https://hawk.example:8443" + base + "/deploymentBase/1"):         `leads to`,
		link("https://me:pw@hawk.example" + base + "/deploymentBase/1"):        `leads to`,
		link("https://hawk.example.evil.com" + base + "/deploymentBase/1"):     `leads to`,
		link("//evil.example" + base + "/deploymentBase/1"):                    `leads to`,
		link(at + "/deploymentBase/"):                                          "none of this robot's",
		link(at + "/deploymentBase/1/feedback"):                                "none of this robot's",
		link(at + "/deploymentBase/../../r2/deploymentBase/1"):                 "none of this robot's",
		link(at + "/deploymentBase/%2e%2e%2fx"):                                "none of this robot's",
		link(at + "/cancelAction/1"):                                           "none of this robot's",
		link("https://hawk.example/DEFAULT/controller/v1/r2/deploymentBase/1"): "none of this robot's",
		link("https://hawk.example/rest/v1/targets"):                           "none of this robot's",
		link(at + "/deploymentBase/" + strings.Repeat("1", 100)):               "none of this robot's",
		link(at + "/deploymentBase/1?c=" + strings.Repeat("1", 300)):           "query of its link",
	} {
		_, err := atSite(t).parseRoot([]byte(body))
		if want == "" {
			if err != nil {
				t.Errorf("%.100s: %v", body, err)
			}
			continue
		}
		var bad *AnswerError
		if !errors.As(err, &bad) || bad.Code() != "bad_answer" || !bad.Final() || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s:\n got %v\nwant %s", body, err, want)
		}
	}
	for _, body := range []string{`{}`, `{"cancelAction":{}}`, `{"cancelAction":{"stopId":"../1"}}`, `{"cancelAction":{"stopId":1}}`} {
		if _, err := parseCancel([]byte(body)); err == nil {
			t.Errorf("%s was taken", body)
		}
	}
}

// sample is a deployment as hawkBit sends it, changed.
func sample(t testing.TB, change func(d map[string]any)) []byte {
	a := &assignment{id: "3", version: "0.2.1"}
	body, err := json.Marshal(newHawk(a).deployment(a))
	if err != nil {
		t.Fatal(err)
	}
	if change == nil {
		return body
	}
	var d map[string]any
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	change(d)
	if body, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	return body
}

// within gives the innermost part of a document.
func within(d map[string]any, path ...any) map[string]any {
	var at any = d
	for _, p := range path {
		switch p := p.(type) {
		case string:
			at = at.(map[string]any)[p]
		case int:
			at = at.([]any)[p]
		}
	}
	return at.(map[string]any)
}

func TestOffer(t *testing.T) {
	chunk := func(d map[string]any) map[string]any { return within(d, "deployment", "chunks", 0) }
	file := func(d map[string]any) map[string]any { return within(d, "deployment", "chunks", 0, "artifacts", 0) }
	tests := []struct {
		name   string
		change func(d map[string]any)
		code   string // "" for an offer
		check  func(o update.Offer) bool
	}{
		{"as it comes", nil, "", func(o update.Offer) bool {
			return o.URL == "https://hawk.example"+base+"/softwaremodules/7/artifacts/robot-platform.signed" && o.Version == version("0.2.1") && !o.Forced
		}},
		{"the module counts otherwise", func(d map[string]any) { chunk(d)["version"] = "2026-03" }, "", func(o update.Offer) bool { return o.Version.IsZero() }},
		{"forced", func(d map[string]any) { within(d, "deployment")["update"] = "forced" }, "", func(o update.Offer) bool { return o.Forced }},
		{"SHA-1 alone, as goosebit", func(d map[string]any) { file(d)["hashes"] = map[string]any{"sha1": "x"} }, "", func(o update.Offer) bool { return o.SHA256 == "" && o.Size == 20_000 }},
		{"no hashes", func(d map[string]any) { file(d)["hashes"] = nil }, "", nil},
		{"upper case", func(d map[string]any) { file(d)["hashes"] = map[string]any{"sha256": strings.Repeat("AB", 32)} }, "", func(o update.Offer) bool { return o.SHA256 == strings.Repeat("ab", 32) }},
		{"CDN", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "https://cdn.example/x?sig=1" }, "", func(o update.Offer) bool { return o.URL == "https://cdn.example/x?sig=1" }},
		{"relative link", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "/x" }, "", func(o update.Offer) bool { return o.URL == "https://hawk.example/x" }},
		{"the only file has any name", func(d map[string]any) { file(d)["filename"] = "firmware.bin" }, "", nil},

		{"other host", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "https://evil.net/x" }, codeURL, nil},
		{"http", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "http://hawk.example/x" }, codeURL, nil},
		{"http alone", func(d map[string]any) { delete(within(file(d), "_links"), "download") }, codeURL, nil},
		{"file", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "file:///etc/shadow" }, codeURL, nil},
		{"no link", func(d map[string]any) { file(d)["_links"] = nil }, codeArtifact, nil},
		{"odd link", func(d map[string]any) { within(file(d), "_links", "download")["href"] = "https://hawk.example/\n" }, codeArtifact, nil},
		{"long link", func(d map[string]any) {
			within(file(d), "_links", "download")["href"] = "https://hawk.example/" + strings.Repeat("x", 3000)
		}, codeArtifact, nil},
		{"short digest", func(d map[string]any) { file(d)["hashes"] = map[string]any{"sha256": "ab"} }, codeArtifact, nil},
		{"no size", func(d map[string]any) { delete(file(d), "size") }, codeArtifact, nil},
		{"huge", func(d map[string]any) { file(d)["size"] = 1 << 32 }, codeArtifact, nil},
		{"negative", func(d map[string]any) { file(d)["size"] = -1 }, codeArtifact, nil},
		{"older", func(d map[string]any) { chunk(d)["version"] = "0.1.9" }, codeOlder, nil},
		{"encrypted", func(d map[string]any) { chunk(d)["encrypted"] = true }, codeSealed, nil},
		{"no chunk", func(d map[string]any) { within(d, "deployment")["chunks"] = nil }, codeNoImage, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDeployment(sample(t, tt.change), "3")
			if err != nil {
				t.Fatal(err)
			}
			o, err := judge{base: atSite(t).base, allow: newHawk().Allow, maxSize: 1 << 20, running: version("0.2.0")}.offer(d)
			if tt.code == "" {
				if err != nil || o.Release != "hawkbit:3" || tt.check != nil && !tt.check(o) {
					t.Errorf("got %+v, %v", o, err)
				}
				return
			}
			var bad *AnswerError
			if !errors.As(err, &bad) || bad.Code() != tt.code {
				t.Errorf("got %+v, %v, want %s", o, err, tt.code)
			}
		})
	}
}

func TestRefusedDeploymentDocuments(t *testing.T) {
	for want, change := range map[string]func(d map[string]any){
		"it is of the deployment \"4\", asked for was 3": func(d map[string]any) { d["id"] = "4" },
		"it is not of the form of DDI":                   func(d map[string]any) { d["id"] = 3 },
		`its "update" is "now"`:                          func(d map[string]any) { within(d, "deployment")["update"] = "now" },
		`its "download" is ""`:                           func(d map[string]any) { delete(within(d, "deployment"), "download") },
		"its maintenanceWindow is \"ajar\"":              func(d map[string]any) { within(d, "deployment")["maintenanceWindow"] = "ajar" },
		"it is not of the form of DDI: json: cannot":     func(d map[string]any) { within(d, "deployment")["chunks"] = "x" },
	} {
		_, err := parseDeployment(sample(t, change), "3")
		var bad *AnswerError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzDocuments: whatever a server says, links stay with this robot at this
// server, and offers with what the agent may fetch.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"config":{"polling":{"sleep":"00:05:00"}},"_links":{"deploymentBase":{"href":"https://hawk.example` + base + `/deploymentBase/3?c=1"}}}`))
	f.Add([]byte(`{"id":"3","cancelAction":{"stopId":"3"}}`))
	f.Add(sample(f, nil))
	f.Add(sample(f, func(d map[string]any) { within(d, "deployment")["maintenanceWindow"] = "unavailable" }))
	s, h := atSite(f), newHawk()
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := s.parseRoot(body); err == nil {
			if r.sleep < minSleep || r.sleep > maxSleep {
				t.Errorf("polls every %s", r.sleep)
			}
			for _, l := range []target{r.deployment, r.confirmation, r.cancel} {
				if l.id != "" && !strings.HasPrefix(l.url, "https://hawk.example"+base+"/") || strings.ContainsAny(l.id, "/.%?#") {
					t.Errorf("leads to %+v", l)
				}
			}
		}
		if id, err := parseCancel(body); err == nil && (id == "" || strings.ContainsAny(id, "/.%?#")) {
			t.Errorf("cancels %q", id)
		}
		d, err := parseDeployment(body, "3")
		if err != nil {
			return
		}
		o, err := judge{base: s.base, allow: h.Allow, maxSize: 1 << 20, running: version("0.2.0")}.offer(d)
		if err != nil {
			if bad := new(AnswerError); !errors.As(err, &bad) || bad.code == "" {
				t.Errorf("no refusal: %v", err)
			}
			return
		}
		u, err := url.Parse(o.URL)
		if err != nil || u.Scheme != "https" || h.Allow(u) != nil || o.Size <= 0 || o.Size > 1<<20 || o.SHA256 != "" && len(o.SHA256) != 64 || len(o.URL) > update.MaxURL {
			t.Errorf("offers %+v", o)
		}
	})
}

var _ HTTP = (*httpguard.Client)(nil)
