package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m, whole) }

// fleet is a store behind the interface.
type fleet struct {
	t     *testing.T
	env   storetest.Env
	store *store.Store
	cfg   Config
	back  Backends
	log   bytes.Buffer
	spec  *specification
}

var (
	content = bytes.Repeat([]byte("0123456789"), 100)
	sum     = digest(content)
	signer  = keyringtest.Signers(1)[0]
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func version(text string) compat.Version {
	v, err := compat.ParseVersion(text)
	if err != nil {
		panic(err)
	}
	return v
}

// newFleet has standard 0.1.9 and 0.2.1, the file content, and basic 0.2.0, all stable.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, env: storetest.SQLite(t), spec: description31(t)}
	f.store = f.env.Open(t)
	f.back = FromStore(f.store)
	f.cfg = Config{Identity: IdentityOptional, Downloads: DefaultDownloads, Now: f.env.Clock.Now}
	f.update(func(tx *store.Tx) error { _, err := tx.AddKey(t.Context(), signer.Public, "pub.der"); return err })
	f.publish("standard", "0.1.9", release.Stable, []byte(strings.Repeat("old", 100)))
	f.publish("standard", "0.2.1", release.Stable, content)
	f.publish("basic", "0.2.0", release.Stable, []byte(strings.Repeat("other", 100)))
	return f
}

func (f *fleet) update(do func(tx *store.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), "test", do); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) publish(sku, v string, status release.Status, file []byte) {
	f.t.Helper()
	if err := f.release(f.t, sku, v, status, file); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) release(t testing.TB, sku, v string, status release.Status, file []byte) error {
	protocol, _ := compat.DefaultTable().Protocol(version(v))
	return f.store.Publish(t.Context(), file, []release.Release{{
		SKU: sku, Version: version(v), SHA256: digest(file), Size: int64(len(file)), Protocol: protocol, Name: sku + "-" + v, Status: status,
		AppSHA256: strings.Repeat("0a", 32), Key: signer.ID(), Published: storetest.Noon(), Changed: storetest.Noon(),
	}})
}

// robot registers one, of SKU standard, whose token is its id.
func (f *fleet) robot(id string) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		if err := tx.AddRobot(f.t.Context(), store.Robot{ID: id, SKU: "standard"}); err != nil {
			return err
		}
		return tx.SetToken(f.t.Context(), id, id)
	})
}

func (f *fleet) handler() http.Handler {
	return New(f.cfg, f.back, slog.New(slog.NewTextHandler(&f.log, nil)))
}

func (f *fleet) public(base string) {
	f.cfg.PublicURL, _ = url.Parse(base)
}

// ask sends a request; headers as "Name: value". What is answered is held
// against the description.
func (f *fleet) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(request(method, target, "", headers...))
}

func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "updates.example.org:8443"
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func (f *fleet) do(r *http.Request) *httptest.ResponseRecorder {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.handler().ServeHTTP(w, r)
	f.spec.check(f.t, r, w)
	return w
}

// isProblem checks an error's form.
func isProblem(t *testing.T, w *httptest.ResponseRecorder, status int, detail string) {
	t.Helper()
	var p problem
	err := json.Unmarshal(w.Body.Bytes(), &p)
	h := w.Header()
	if err != nil || w.Code != status || p.Status != status || p.Title != http.StatusText(status) || !strings.Contains(p.Detail, detail) ||
		h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s; want %d %q", w.Code, h, w.Body, status, detail)
	}
}

// broken is a store that is.
type broken struct{ Backends }

var errInside = errors.New("secret path /srv/x")

func (broken) Offered(context.Context, string, string) ([]release.Release, error) {
	return nil, errInside
}
func (broken) Checked(context.Context, string, compat.Version) error { return errInside }
func (broken) Artifact(context.Context, string) (store.Artifact, error) {
	return store.Artifact{}, errInside
}
func (broken) KeyringVersion(context.Context) (uint64, error) { return 0, errInside }
func (broken) Ready(context.Context) error                    { return errInside }
func (broken) Download(context.Context, store.Download, int) (bool, error) {
	return false, errInside
}
func (broken) Sent(context.Context, string, string, int64) error { return errInside }
func (broken) RobotWithToken(context.Context, string) (store.Robot, error) {
	return store.Robot{}, errInside
}
func (broken) RobotWithCertificate(context.Context, string) (store.Robot, error) {
	return store.Robot{}, errInside
}
