package dashboard

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// holds demands texts of a page, in their order.
func holds(t testing.TB, what, page string, want ...string) {
	t.Helper()
	rest := page
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Errorf("%s lacks %q (in this order) in:\n%s", what, w, page)
			return
		}
		rest = after
	}
}

func TestPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		s.fill(t)
		b := s.browser(t).login("ann")
		for target, want := range map[string][]string{
			"/": {`href="/incidents/i1"`, "Success rate", "98.3 %", "&gt; 99 %", "missed", "60 updates that ended in the last 30 days", "Rollback rate", "1.7 %", "missed",
				"Average download time", "4.0 s", "60 downloads", "Time to full deployment", "4 d 5 h", "1 rollout that became stable", "60 robots: 57 online, 3 silent for more than 15 min", "rollback commands that are open: 1 not sent",
				`href="/rollouts/o1"`, "running", "basic: 20 robots", "<title>Firmware of basic.", "standard: 40 robots"},
			"/?days=1":                          {"Success rate", "–", "0 updates that ended in the last 1 day"},
			"/rollouts":                         {`href="/rollouts/o1"`, "running", "canary", "by ann"},
			"/rollouts/o1":                      {"Pause", "Promote", "Halt", "promoted by ann", "error minutes", "rank sum: 40 against 200, p = 0.412 (limit 0.01)", "5 %", "internal", "passed", "1 confirmed", "canary", "open", "3 robots: 2 offered", "1 rolled back", "2. advance", "Ordered by ann: test robots are fine", "1. start", "The plan"},
			"/releases":                         {"standard-0.2.1", "published", "/releases/standard-0.2.1/rollback"},
			"/robots":                           {"robot-000", "internal", "robot-049", "after=robot-049", "More robots"},
			"/robots?id=x":                      {"There is no robot x."},
			"/robots?sku=basic&after=robot-049": {"robot-050"},
			"/robots/robot-004":                 {"silent", "0.2.0", "slot ota_0", "canary", "trigger: reboots", "0.1.0 → 0.2.0", "rollback of 0.2.0", "not sent yet"},
			"/incidents":                        {"standard-0.2.0 called back", "open", "by ann"},
			"/incidents/i1":                     {"motors stutter", "1 robot told; 1 not yet", "the release is withdrawn", "robots", "12", `href="/robots/robot-004"`},
		} {
			w := b.get(target)
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", target, w.Code, w.Body)
				continue
			}
			holds(t, target, w.Body.String(), append([]string{"<!doctype html>", "Skip to the content", "<h1>"}, want...)...)
			if strings.Contains(w.Body.String(), " style=") || strings.Contains(w.Body.String(), "<script>") || strings.Contains(w.Body.String(), "onclick") {
				t.Errorf("%s has what the policy on content forbids", target)
			}
		}
		for _, target := range []string{"/rollouts/o9", "/robots/r9", "/incidents/i9", "/nothing", "/rollouts/o9/halt", "/releases/x/halt"} {
			if w := b.get(target); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is no such") {
				t.Errorf("%s: %d %s", target, w.Code, w.Body)
			}
		}
		if log := s.log.String(); strings.Contains(log, "level=ERROR") {
			t.Error(log)
		}
	})
}

// A rollout that was halted leads to its incident, and can be steered no more.
func TestHaltedRollout(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	s.env.Clock.Add(time.Minute)
	s.update(t, func(tx *store.Tx) error {
		r, err := tx.Rollout(t.Context(), "o1")
		if err != nil {
			return err
		}
		state, _, err := rollout.Obey(must(rollout.ParseState(r.State)), rollout.Order{Verdict: rollout.Halt, By: "ann", Reason: "wheels lock"}, s.env.Clock.Now())
		if err != nil {
			return err
		}
		r.Phase, r.Active, r.State = string(state.Phase), false, must(json.Marshal(state))
		if _, err := tx.SaveRollout(t.Context(), r); err != nil {
			return err
		}
		_, err = tx.OpenIncident(t.Context(), store.Incident{ID: "of-o1", Kind: "rollback", Title: "x", Version: v("0.2.1"), SKUs: []string{"standard"}, OpenedBy: "ann", Reason: "y"})
		return err
	})
	page := s.browser(t).login("ann").get("/rollouts/o1").Body.String()
	holds(t, "the rollout", page, "halted", "ended", `href="/incidents/of-o1"`, "halted by ann", "canary <span class=\"tag halted\">halted")
	if strings.Contains(page, "verb-") {
		t.Error("it can be steered")
	}
}

// A fleet of nobody has pages as well.
func TestEmptyPages(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	b := s.browser(t).login("ben")
	for target, want := range map[string]string{"/": "No robots yet", "/rollouts": "no rollout yet", "/releases": "Nothing was published", "/robots": "No more robots", "/incidents": "There was none"} {
		w := b.get(target)
		holds(t, target, w.Body.String(), want)
	}
}

// Whatever robots, and those who write incidents, say is text.
func TestNothingThatRobotsSayIsMarkup(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'` + "\x00\xff{{.}}"
		body := must(json.Marshal(map[string]any{evil: []any{evil, map[string]any{"deep": evil}}}))
		now := env.Clock.Now()
		s.update(t, func(tx *store.Tx) error {
			ctx := t.Context()
			if err := tx.AddRobot(ctx, store.Robot{ID: "r1", SKU: "basic", Note: evil, Tags: []string{"<b>"}}); err != nil {
				return err
			}
			state := store.RobotState{Version: v("0.2.0"), Slot: evil, OTAState: evil, SigningKey: evil, Agent: evil, JobState: evil, JobTarget: evil, Farewell: evil, Status: body, Diagnostics: body, Received: now}
			if err := tx.SetState(ctx, "r1", state); err != nil {
				return err
			}
			if err := tx.SaveUpdate(ctx, store.Update{Robot: "r1", JobID: evil, SKU: "basic", Started: now, Outcome: evil, Code: evil, Text: evil, Origin: evil}); err != nil {
				return err
			}
			if _, err := tx.AddEvent(ctx, store.Event{Robot: "r1", ID: evil, Kind: evil, Received: now, From: evil, To: evil, Code: evil, Text: evil, Body: body}); err != nil {
				return err
			}
			if err := tx.Enqueue(ctx, store.Command{ID: "c1", Robot: "r1", Verb: store.VerbOTA}); err != nil {
				return err
			}
			if _, err := tx.Acknowledge(ctx, "r1", "c1", evil, evil); err != nil {
				return err
			}
			_, err := tx.OpenIncident(ctx, store.Incident{ID: "i1", Kind: "halt", Title: evil, OpenedBy: evil, Reason: evil, Data: body})
			return err
		})
		b := s.browser(t).login("ann")
		for _, target := range []string{"/", "/robots", "/robots/r1", "/incidents", "/incidents/i1", "/robots?id=" + "%22%3E%3Cscript%3E", "/login?next=%22%3E%3Cscript%3E"} {
			w := b.get(target)
			page := w.Body.String()
			if w.Code != http.StatusOK || strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.Contains(page, "<b>") || strings.Contains(page, `"><script>`) {
				t.Errorf("%s: %d\n%s", target, w.Code, page)
			}
		}
		holds(t, "the robot", b.get("/robots/r1").Body.String(), "&lt;script&gt;alert(1)")
		if log := s.log.String(); strings.Contains(log, "level=ERROR") {
			t.Error(log)
		}
	})
}

func TestHeaders(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	b := s.browser(t)
	for _, target := range []string{"/", "/login", "/static/style.css", "/nothing"} {
		h := b.get(target).Header()
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: %q", target, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000"} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: %q", target, name, got)
			}
		}
	}
	if got := b.get("/login").Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("pages are kept: %q", got)
	}
	if w := b.get("/static/style.css"); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("the style sheet: %d %v", w.Code, w.Header())
	}
	if w := b.get("/static/../pages/frame.html"); w.Code == 200 {
		t.Error("templates are served")
	}
}
