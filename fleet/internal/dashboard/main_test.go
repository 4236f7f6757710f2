package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard/password"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// secretWord is everybody's password.
const secretWord = "correct horse battery"

// hashed is its hash, made once: it takes a while.
var hashed = sync.OnceValue(func() string { return must(password.Hash(secretWord)) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func v(s string) compat.Version { return must(compat.ParseVersion(s)) }

// deeds notes what operators do.
type deeds struct {
	mu   sync.Mutex
	done []string
	err  error
}

func (d *deeds) note(format string, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.done = append(d.done, fmt.Sprintf(format, args...))
	}
	return d.err
}

func (d *deeds) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.done, "; ")
}

func (d *deeds) Steer(_ context.Context, id string, o rollout.Order) error {
	return d.note("%s %s by %s: %s", o.Verdict, id, o.By, o.Reason)
}

func (d *deeds) Halt(_ context.Context, by, name, reason string) (string, error) {
	return "i1", d.note("halt release %s by %s: %s", name, by, reason)
}

func (d *deeds) Rollback(_ context.Context, by, name, reason string) (string, error) {
	return "i1", d.note("rollback release %s by %s: %s", name, by, reason)
}

// site is a dashboard over a fleet.
type site struct {
	http.Handler
	env   storetest.Env
	store *store.Store
	deeds *deeds
	log   *lines
}

// lines is a log that can be read meanwhile.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t testing.TB, env storetest.Env, more ...func(*Config)) *site {
	t.Helper()
	s := &site{env: env, store: env.Open(t), deeds: &deeds{}, log: &lines{}}
	cfg := DefaultConfig()
	cfg.Now, cfg.Refresh = env.Clock.Now, 20*time.Millisecond
	for _, change := range more {
		change(&cfg)
	}
	s.Handler = must(New(cfg, s.store, Deeds{s.deeds, s.deeds}, slog.New(slog.NewTextHandler(s.log, nil))))
	s.update(t, func(tx *store.Tx) error {
		for name, role := range map[string]store.Role{"ann": store.Operator, "ben": store.Viewer} {
			if err := tx.SaveUser(t.Context(), store.User{Name: name, Role: role, Password: hashed()}); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

func (s *site) update(t testing.TB, f func(*store.Tx) error) {
	t.Helper()
	if err := s.store.Update(t.Context(), "test", f); err != nil {
		t.Fatal(err)
	}
}

// fill puts a fleet in: robots of two SKUs, updates, a rollout with decisions,
// an incident, commands.
func (s *site) fill(t testing.TB) {
	t.Helper()
	ctx, now := t.Context(), s.env.Clock.Now()
	key := keyringtest.Signers(1)[0].Public
	s.update(t, func(tx *store.Tx) error {
		_, err := tx.AddKey(ctx, key, "pub.der")
		return err
	})
	file := []byte(strings.Repeat("x", 1000))
	sum := sha256.Sum256(file)
	published := release.Release{SKU: "standard", Version: v("0.2.1"), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(file)), Protocol: 1, Name: "standard-0.2.1",
		AppSHA256: strings.Repeat("cd", 32), Key: key.ID, Published: now, Changed: now, Status: release.Published}
	if err := s.store.Publish(ctx, file, []release.Release{published}); err != nil {
		t.Fatal(err)
	}
	s.update(t, func(tx *store.Tx) error {
		for i := range 60 {
			id := fmt.Sprintf("robot-%03d", i)
			sku := []string{"standard", "standard", "basic"}[i%3]
			if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: sku, Internal: i == 0}); err != nil {
				return err
			}
			state := store.RobotState{Version: v([]string{"0.2.0", "0.1.0", "0.2.0", "0.2.1"}[i%4]), Slot: "ota_0", OTAState: "valid", Online: i%20 != 4, Received: now.Add(-time.Duration(i) * time.Second), Companion: v("0.2.0")}
			if !state.Online {
				state.Received = now.Add(-time.Hour)
			}
			if err := tx.SetState(ctx, id, state); err != nil {
				return err
			}
			outcome, code := figuresOutcome(i)
			if err := tx.SaveUpdate(ctx, store.Update{Robot: id, JobID: "j1", SKU: sku, From: v("0.1.0"), Version: v("0.2.0"), Started: now.Add(-48 * time.Hour), Ended: now.Add(-47 * time.Hour), Outcome: outcome, Code: code, Download: 4}); err != nil {
				return err
			}
		}
		if err := stable(ctx, tx, now); err != nil {
			return err
		}
		return s.rollout(ctx, tx, "o1", now)
	})
}

// stable is a rollout that went to its end in two days and some hours.
func stable(ctx context.Context, tx *store.Tx, now time.Time) error {
	r, err := tx.StartRollout(ctx, store.Rollout{ID: "o0", Release: "basic-0.2.0", Version: v("0.2.0"), SKUs: []string{"basic"}, Phase: "running", Stage: "internal"})
	if err != nil {
		return err
	}
	if err := tx.Assign(ctx, store.Assignment{Rollout: "o0", Robot: "robot-002", SKU: "basic", Stage: "full", Outcome: "confirmed", Confirmed: now.Add(101 * time.Hour)}); err != nil {
		return err
	}
	r.Phase, r.Stage, r.Active = "stable", "full", false
	_, err = tx.SaveRollout(ctx, r)
	return err
}

func figuresOutcome(i int) (outcome, code string) {
	if i == 7 {
		return "rolled_back", "reboots"
	}
	return "confirmed", ""
}

// rollout is one at the stage canary, with an incident.
func (s *site) rollout(ctx context.Context, tx *store.Tx, id string, now time.Time) error {
	plan := rollout.Default()
	plan.Release, plan.SKU, plan.Version, plan.Protocol, plan.Internal, plan.Seed = "standard-0.2.1", "standard", v("0.2.1"), 1, []string{"robot-000"}, 7
	state, decision := rollout.Begin(plan, "ann", "the new one", now.Add(-26*time.Hour))
	if _, err := tx.StartRollout(ctx, store.Rollout{ID: id, Release: plan.Release, Version: plan.Version, SKUs: []string{"standard"}, Phase: string(state.Phase), Stage: string(state.Stage),
		Plan: must(json.Marshal(plan)), State: must(json.Marshal(state)), By: "ann"}); err != nil {
		return err
	}
	if err := tx.Assign(ctx, store.Assignment{Rollout: id, Robot: "robot-000", SKU: "standard", Stage: "internal", Outcome: "confirmed", Offered: now, Confirmed: now},
		store.Assignment{Rollout: id, Robot: "robot-003", SKU: "standard", Stage: "canary", Outcome: "confirmed", Offered: now, Confirmed: now},
		store.Assignment{Rollout: id, Robot: "robot-004", SKU: "standard", Stage: "canary", Outcome: "rolled_back", Code: "reboots", Trigger: "reboots", Offered: now},
		store.Assignment{Rollout: id, Robot: "robot-006", SKU: "standard", Stage: "canary"}); err != nil {
		return err
	}
	next, second, err := rollout.Obey(state, rollout.Order{Verdict: rollout.Advance, By: "ann", Reason: "test robots are fine"}, now.Add(-2*time.Hour))
	if err != nil {
		return err
	}
	second.Checks = []rollout.Check{{Name: "error_minutes", Result: rollout.Good, Text: "no more ERROR than others", Robots: []string{"robot-003"},
		Tests: []rollout.Test{{Method: "rank_sum", Treated: 40, Control: 200, P: 0.412, Alpha: 0.01, Detectable: 0.05, Power: 0.9}}}}
	next.Latest = second
	for _, d := range []rollout.Decision{decision, second} {
		if _, err := tx.AddDecision(ctx, store.Decision{Rollout: id, At: d.At, Verdict: string(d.Verdict), Stage: string(d.Stage), Text: d.Text, By: d.By, Reason: d.Reason, Decision: must(json.Marshal(d))}); err != nil {
			return err
		}
	}
	stored, err := tx.Rollout(ctx, id)
	if err != nil {
		return err
	}
	stored.Stage, stored.State = string(next.Stage), must(json.Marshal(next))
	if _, err := tx.SaveRollout(ctx, stored); err != nil {
		return err
	}
	if _, err := tx.OpenIncident(ctx, store.Incident{ID: "i1", Kind: "rollback", Title: "standard-0.2.0 called back", Version: v("0.2.0"), SKUs: []string{"standard"}, OpenedBy: "ann", Reason: "motors stutter"}); err != nil {
		return err
	}
	if _, err := tx.AddEntry(ctx, store.Entry{Incident: "i1", By: "ann", Text: "the release is withdrawn", Data: json.RawMessage(`{"robots":12}`)}); err != nil {
		return err
	}
	return tx.Enqueue(ctx, store.Command{ID: "c1", Robot: "robot-004", Verb: store.VerbRollback, Version: v("0.2.0"), Incident: "i1", Payload: json.RawMessage(`{}`)})
}

// browser keeps cookies, and follows nothing.
type browser struct {
	t       testing.TB
	site    http.Handler
	cookies map[string]*http.Cookie
	from    string
}

func (s *site) browser(t testing.TB) *browser {
	return &browser{t: t, site: s, cookies: map[string]*http.Cookie{}, from: "192.0.2.1:1234"}
}

func (b *browser) do(method, target string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "https://fleet.example"+target, strings.NewReader(form.Encode()))
	r.RemoteAddr = b.from
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.site.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

func (b *browser) get(target string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do("GET", target, nil)
}

func (b *browser) login(name string) *browser {
	b.t.Helper()
	if w := b.do("POST", "/login", url.Values{"name": {name}, "password": {secretWord}}); w.Code != http.StatusSeeOther {
		b.t.Fatalf("log-in of %s: %d %s", name, w.Code, w.Body)
	}
	return b
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token in a page.
func (b *browser) csrf() string {
	b.t.Helper()
	m := csrfField.FindStringSubmatch(b.get("/").Body.String())
	if m == nil {
		b.t.Fatal("there is no token in the page")
	}
	return m[1]
}
