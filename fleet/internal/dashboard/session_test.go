package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
	"github.com/robot-platform/robot-ota/internal/origin"
)

func TestLogin(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		b := s.browser(t)
		w := b.get("/rollouts?x=1")
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "/login?next=%2Frollouts%3Fx%3D1" {
			t.Errorf("a stranger: %d %s", w.Code, got)
		}
		if w := b.get("/live/rollouts"); w.Header().Get("Location") != "/login" || w.Code != http.StatusSeeOther {
			t.Errorf("a stranger follows: %d %v", w.Code, w.Header())
		}
		holds(t, "log-in page", b.get("/login?next=/rollouts").Body.String(), `value="/rollouts"`, `for="name"`, `for="password"`, `autocomplete="current-password"`)
		for _, wrong := range []url.Values{{}, {"name": {"ann"}}, {"name": {"ann"}, "password": {"wrong horse battery"}}, {"name": {"eve"}, "password": {secretWord}}, {"name": {strings.Repeat("x", 300)}, "password": {secretWord}}} {
			w := b.do("POST", "/login", wrong)
			if w.Code != http.StatusUnauthorized || len(b.cookies) != 0 || !strings.Contains(w.Body.String(), "Name or password is wrong.") {
				t.Errorf("%v: %d %s", wrong, w.Code, w.Body)
			}
		}
		w = b.do("POST", "/login", url.Values{"name": {"ann"}, "password": {secretWord}, "next": {"/rollouts"}})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/rollouts" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		c := b.cookies[cookie]
		if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) != 43 {
			t.Fatalf("the cookie: %+v", c)
		}
		if w := b.get("/rollouts"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "ann</span>") && !strings.Contains(w.Body.String(), "ann (operator)") {
			t.Errorf("logged in: %d %s", w.Code, w.Body)
		}

		// Another log-in begins another session, and ends this one.
		old := *c
		b.login("ben")
		if b.cookies[cookie].Value == old.Value {
			t.Error("the session is the one from before the log-in")
		}
		stale := s.browser(t)
		stale.cookies[cookie] = &old
		if w := stale.get("/"); w.Code != http.StatusSeeOther {
			t.Errorf("the old session: %d", w.Code)
		}

		// Log-out ends it at the server, not only in the browser.
		kept := *b.cookies[cookie]
		if w := b.do("POST", "/logout", url.Values{"csrf": {b.csrf()}}); w.Code != http.StatusSeeOther || len(b.cookies) != 0 {
			t.Errorf("log-out: %d", w.Code)
		}
		b.cookies[cookie] = &kept
		if w := b.get("/"); w.Code != http.StatusSeeOther {
			t.Errorf("after the log-out: %d", w.Code)
		}
	})
}

func TestNextStaysInside(t *testing.T) {
	for next, want := range map[string]string{"/robots/r1?x=1#y": "/robots/r1?x=1#y", "": "/", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "robots": "/", "javascript:alert(1)": "/", "/\t/evil.example": "/", "/%zz": "/"} {
		if got := inside(next); got != want {
			t.Errorf("%q: %q", next, got)
		}
	}
}

func TestSessionsExpire(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		cfg := DefaultConfig()
		in := func(b *browser) bool { return b.get("/rollouts").Code == http.StatusOK }

		idle := s.browser(t).login("ben")
		env.Clock.Add(cfg.Idle - time.Second)
		if !in(idle) {
			t.Error("ended before its time")
		}
		env.Clock.Add(cfg.Idle - time.Second) // since then
		if !in(idle) {
			t.Error("its use did not put its end off")
		}
		env.Clock.Add(cfg.Idle + time.Second)
		if in(idle) {
			t.Error("a session that is not used goes on")
		}

		busy := s.browser(t).login("ben")
		for range int(cfg.Life/cfg.Idle) * 2 {
			env.Clock.Add(cfg.Idle / 2)
			in(busy)
		}
		env.Clock.Add(time.Second)
		if in(busy) {
			t.Error("a session has no end")
		}

		// A change of its user ends a session.
		for name, change := range map[string]func(*store.User){
			"role": func(u *store.User) { u.Role = store.Operator }, "disabled": func(u *store.User) { u.Disabled = env.Clock.Now() },
		} {
			b := s.browser(t).login("ben")
			s.update(t, func(tx *store.Tx) error {
				u, err := tx.User(t.Context(), "ben")
				if err != nil {
					return err
				}
				change(&u)
				return tx.SaveUser(t.Context(), u)
			})
			if in(b) {
				t.Errorf("%s: the session goes on", name)
			}
			if name == "disabled" {
				if w := b.do("POST", "/login", url.Values{"name": {"ben"}, "password": {secretWord}}); w.Code != http.StatusUnauthorized {
					t.Errorf("disabled: %d", w.Code)
				}
			}
			s.update(t, func(tx *store.Tx) error {
				return tx.SaveUser(t.Context(), store.User{Name: "ben", Role: store.Viewer, Password: hashed()})
			})
		}
	})
}

// Behind a proxy that is trusted each computer has its own tries, whatever it
// says itself; through another one they are the proxy's.
func TestLoginsBehindAProxyAreLimited(t *testing.T) {
	s := open(t, storetest.SQLite(t), func(c *Config) { c.Proxies = origin.Proxies{netip.MustParsePrefix("10.0.0.7/32")} })
	attempt := func(proxy, said, name, word string) int {
		b := s.browser(t)
		b.from = proxy
		return b.do("POST", "/login", url.Values{"name": {name}, "password": {word}}, "X-Forwarded-For", said).Code
	}
	for i := range failures {
		if got := attempt("10.0.0.7:1", fmt.Sprintf("198.51.100.%d, 192.0.2.9", i), fmt.Sprint("name", i), "guess"); got != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, got)
		}
	}
	if got := attempt("10.0.0.7:2", "198.51.100.99, 192.0.2.9", "ann", secretWord); got != http.StatusTooManyRequests {
		t.Errorf("one computer, and another that it makes up: %d", got)
	}
	if got := attempt("10.0.0.7:3", "192.0.2.10", "ann", secretWord); got != http.StatusSeeOther {
		t.Errorf("another computer: %d", got)
	}
	if log := s.log.String(); !strings.Contains(log, "from=192.0.2.9 ") || strings.Contains(log, "from=10.0.0.7") {
		t.Errorf("the log:\n%s", log)
	}
	for i := range failures {
		attempt("10.0.0.8:1", fmt.Sprintf("192.0.2.%d", 20+i), fmt.Sprint("name", 20+i), "guess")
	}
	if got := attempt("10.0.0.8:1", "192.0.2.99", "ben", secretWord); got != http.StatusTooManyRequests {
		t.Errorf("through a proxy that nobody trusts: %d", got)
	}
}

// Few log-ins may fail on end, from an address or for a name, and time heals.
func TestLoginsAreLimited(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	attempt := func(from, name, word string) int {
		b := s.browser(t)
		b.from = from
		return b.do("POST", "/login", url.Values{"name": {name}, "password": {word}}).Code
	}
	// One computer tries many names.
	for i := range failures {
		if got := attempt("192.0.2.9:1", fmt.Sprint("name", i), "guess"); got != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, got)
		}
	}
	if got := attempt("192.0.2.9:2", "ann", secretWord); got != http.StatusTooManyRequests {
		t.Errorf("one computer, another name: %d", got)
	}
	if got := attempt("192.0.2.10:1", "ann", secretWord); got != http.StatusSeeOther {
		t.Errorf("another computer: %d", got)
	}
	// Many computers try one name; of an IPv6 network all addresses are one.
	for i := range failures {
		if got := attempt(fmt.Sprintf("[2001:db8:%d::1]:1", i), "ann", "guess"); got != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, got)
		}
	}
	if got := attempt("[2001:db8:99::1]:1", "ann", secretWord); got != http.StatusTooManyRequests {
		t.Errorf("many computers, one name: %d", got)
	}
	if got := attempt("[2001:db8:99::1]:1", "ben", secretWord); got != http.StatusSeeOther {
		t.Errorf("another name: %d", got)
	}
	s.env.Clock.Add(again)
	if got := attempt("192.0.2.9:3", "ann", secretWord); got != http.StatusSeeOther {
		t.Errorf("after a while: %d", got)
	}
	if log := s.log.String(); !strings.Contains(log, "log-in refused") || strings.Contains(log, "guess") || strings.Contains(log, secretWord) {
		t.Errorf("the log:\n%s", log)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	now := storetest.Noon()
	l := newLimiter(2, time.Minute, 3, func() time.Time { return now })
	for _, key := range []string{"a", "a", "b", "c"} {
		if wait := l.take(key); wait != 0 {
			t.Fatalf("%s: %v", key, wait)
		}
		now = now.Add(time.Second)
	}
	if wait := l.take("a"); wait < 50*time.Second || wait > time.Minute {
		t.Errorf("a third try in %v", wait)
	}
	for i := range 1000 {
		l.take(fmt.Sprint(i))
		if len(l.tries) > 3 {
			t.Fatalf("%d keys are remembered", len(l.tries))
		}
	}
	// Who has all tries again need not be remembered.
	now = now.Add(time.Hour)
	l.take("x")
	if len(l.tries) != 1 {
		t.Errorf("remembered: %v", l.tries)
	}
	l.giveBack("x")
	l.giveBack("unknown")
	for range 2 {
		if wait := l.take("x"); wait != 0 {
			t.Errorf("given back, and yet %v", wait)
		}
	}
	if l.take("x") == 0 {
		t.Error("more was given back than taken")
	}
}

// Forms of other sites, without the token, or with another session's do nothing.
func TestForgedForms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		s.fill(t)
		b := s.browser(t).login("ann")
		token, other := b.csrf(), s.browser(t).login("ann").csrf()
		reason := func(csrf string) url.Values {
			return url.Values{"csrf": {csrf}, "reason": {"because"}, "stage": {"canary"}}
		}
		for name, try := range map[string]struct {
			form    url.Values
			headers []string
		}{
			"no token":              {reason(""), nil},
			"another session's":     {reason(other), nil},
			"another site":          {reason(token), []string{"Sec-Fetch-Site", "cross-site"}},
			"another site, by name": {reason(token), []string{"Origin", "https://evil.example"}},
			"a sibling":             {reason(token), []string{"Sec-Fetch-Site", "same-site"}},
			"no origin":             {reason(token), []string{"Origin", "null"}},
		} {
			if w := b.do("POST", "/rollouts/o1/halt", try.form, try.headers...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Nothing was done.") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		// A GET, whatever it carries, does nothing.
		b.get("/rollouts/o1/halt?" + reason(token).Encode())
		if done := s.deeds.all(); done != "" {
			t.Errorf("done: %s", done)
		}
		if w := b.do("POST", "/login", url.Values{"name": {"ben"}, "password": {secretWord}}, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
			t.Errorf("a forged log-in: %d", w.Code)
		}
		if w := b.do("POST", "/rollouts/o1/halt", reason(token), "Sec-Fetch-Site", "same-origin", "Origin", "https://fleet.example"); w.Code != http.StatusSeeOther {
			t.Errorf("the true one: %d %s", w.Code, w.Body)
		}
	})
}

func TestDeeds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		s.fill(t)
		viewer, operator := s.browser(t).login("ben"), s.browser(t).login("ann")
		form := func(b *browser) url.Values {
			return url.Values{"csrf": {b.csrf()}, "reason": {" it <bites> "}, "stage": {"canary"}}
		}
		targets := []string{"/rollouts/o1/pause", "/rollouts/o1/promote", "/rollouts/o1/halt", "/releases/standard-0.2.1/halt", "/releases/standard-0.2.1/rollback"}
		for _, target := range targets {
			for _, w := range []int{viewer.get(target).Code, viewer.do("POST", target, form(viewer)).Code} {
				if w != http.StatusForbidden {
					t.Errorf("a viewer, %s: %d", target, w)
				}
			}
		}
		for _, page := range []string{"/rollouts/o1", "/releases"} {
			if body := viewer.get(page).Body.String(); strings.Contains(body, "/halt") {
				t.Errorf("a viewer is shown a button on %s", page)
			}
		}
		if done := s.deeds.all(); done != "" {
			t.Fatalf("a viewer did: %s", done)
		}

		for _, target := range targets {
			holds(t, target, operator.get(target).Body.String(), `method="post"`, "robots say that they run this version", `for="reason"`, "required", "Cancel")
			if w := operator.do("POST", target, form(operator)); w.Code != http.StatusSeeOther {
				t.Errorf("%s: %d %s", target, w.Code, w.Body)
			}
		}
		const want = "pause o1 by ann: it <bites>; advance o1 by ann: it <bites>; halt o1 by ann: it <bites>; halt release standard-0.2.1 by ann: it <bites>; rollback release standard-0.2.1 by ann: it <bites>"
		if done := s.deeds.all(); done != want {
			t.Errorf("done: %s", done)
		}

		// What is not possible, or lacks what it needs.
		for name, try := range map[string]struct {
			target, reason, stage string
			status                int
			text                  string
		}{
			"no reason":      {"/rollouts/o1/halt", " ", "canary", 422, "Say why"},
			"long reason":    {"/rollouts/o1/halt", strings.Repeat("x", 401), "canary", 422, "too long"},
			"control":        {"/rollouts/o1/halt", "a\nb", "canary", 422, "printable"},
			"not paused":     {"/rollouts/o1/resume", "because", "canary", 409, "cannot be done"},
			"unknown verb":   {"/rollouts/o1/delete", "because", "canary", 409, "cannot be done"},
			"moved on":       {"/rollouts/o1/promote", "because", "internal", 409, "moved on"},
			"no release":     {"/releases/standard-9.9.9/halt", "because", "", 404, "no such"},
			"halt is always": {"/rollouts/o1/halt", "because", "internal", 303, ""},
		} {
			w := operator.do("POST", try.target, url.Values{"csrf": {operator.csrf()}, "reason": {try.reason}, "stage": {try.stage}})
			if w.Code != try.status || !strings.Contains(w.Body.String(), try.text) {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		s.deeds.err = errors.New("the rollout is paused already")
		if w := operator.do("POST", "/rollouts/o1/pause", form(operator)); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "paused already") {
			t.Errorf("refused: %d %s", w.Code, w.Body)
		}
	})
}

func TestHugeForm(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	if w := s.browser(t).do("POST", "/login", url.Values{"name": {strings.Repeat("x", maxForm)}}); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
}

func TestAStoreThatFails(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	b := s.browser(t).login("ben")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	w := b.get("/robots")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(s.log.String(), "level=ERROR") {
		t.Error("nothing in the log")
	}
}
