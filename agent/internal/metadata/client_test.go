package metadata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = tuftest.Noon()

// server hands out a repository's documents, and answers otherwise where asked to.
type server struct {
	repo  *tuftest.Repo
	asked []string
	other func(r *http.Request) (*http.Response, error) // nil: as it should
}

func (s *server) Do(r *http.Request) (*http.Response, error) {
	name, ok := strings.CutPrefix(r.URL.String(), "https://updates.example.org/ota/v1/tuf/")
	if !ok {
		return nil, fmt.Errorf("asked %s", r.URL)
	}
	s.asked = append(s.asked, name)
	if s.other != nil {
		return s.other(r)
	}
	b, err := s.repo.Fetch(r.Context(), name, 0)
	if err != nil {
		return answer(r, 404, strings.NewReader("")), nil
	}
	return answer(r, 200, bytes.NewReader(b)), nil
}

func answer(r *http.Request, status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body), Request: r}
}

// site is a robot and its server.
type site struct {
	*testing.T
	server
	now time.Time
	dir string
	cfg Config
	log bytes.Buffer
}

func newSite(t *testing.T, files ...tuf.File) *site {
	t.Helper()
	s := &site{T: t, now: noon, dir: t.TempDir()}
	s.repo = tuftest.New(noon, files...)
	s.cfg = Config{
		Dir: s.dir, Root: s.repo.First(), SKU: "standard", Now: func() time.Time { return s.now },
		URL: &url.URL{Scheme: "https", Host: "updates.example.org", Path: "/ota/v1/tuf"},
	}
	return s
}

func (s *site) open() *Client {
	s.Helper()
	c, err := New(s.cfg, &s.server, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *site) renew(c *Client) {
	s.Helper()
	if err := c.Renew(s.Context()); err != nil {
		s.Fatal(err)
	}
}

// refuses demands a code, and words that help.
func refuses(t *testing.T, what string, err error, code tuf.Code, words ...string) {
	t.Helper()
	var r *tuf.Refused
	if !errors.As(err, &r) || r.Reason != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v\nwants %q", what, err, w)
		}
	}
}

func of(f tuf.File) update.File {
	return update.File{SHA256: f.SHA256, Size: f.Size, Version: f.Version}
}

func TestVouch(t *testing.T) {
	good, evil := tuftest.File("0.2.1", "b"), tuftest.File("0.2.2", "e")
	s := newSite(t, good)
	c := s.open()
	if r := c.Report(); !r.Expires.IsZero() || len(r.Warnings(noon)) != 1 || !strings.Contains(r.Warnings(noon)[0], "no release metadata was accepted yet") {
		t.Errorf("before: %+v", r)
	}
	refuses(t, "before", c.Vouch(of(good)), tuf.Absent, "none was accepted yet")
	s.renew(c)
	if err := c.Vouch(of(good)); err != nil {
		t.Fatal(err)
	}
	refuses(t, "a file of nobody", c.Vouch(of(evil)), tuf.NotListed, "arbitrary target attack", "SKU standard", "ota-fleet metadata show")
	local := of(evil)
	local.Local = true
	refuses(t, "a local one", c.Vouch(local), tuf.NotListed)
	s.cfg.AnyLocal = true
	if err := s.open().Vouch(local); err != nil {
		t.Errorf("a local one, where that is allowed: %v", err)
	}
	r := c.Report()
	if !r.Expires.Equal(noon.Add(24*time.Hour)) || r.Role != tuf.RoleTimestamp || r.Files != 1 || !r.Renewed.Equal(noon) || len(r.Warnings(noon)) != 0 || r.Documents[tuf.RoleTargets].Version != 1 {
		t.Errorf("%+v", r)
	}
	// It expires, and is asked for anew.
	s.now = noon.Add(25 * time.Hour)
	if w := c.Report().Warnings(s.now); len(w) != 1 || !strings.Contains(w[0], "expired at 2026-03-02T12:00:00Z (timestamp)") {
		t.Errorf("%q", w)
	}
	refuses(t, "what has expired", c.Vouch(of(good)), tuf.Expired, "freeze attack", "timestamp 1 expired")
	refuses(t, "a freeze", c.Renew(t.Context()), tuf.Expired, "freeze attack", "timestamp 1 expired")
	s.repo.Stamp(s.now)
	s.renew(c)
	if err := c.Vouch(of(good)); err != nil {
		t.Error(err)
	}
	gone := good
	gone.Status = tuf.NoLonger
	s.repo.List(s.now, gone)
	s.renew(c)
	refuses(t, "withdrawn", c.Vouch(of(good)), tuf.Withdrawn)
}

// What the server, or who stands before it, answers instead of a document.
func TestAnswers(t *testing.T) {
	endless := func(r *http.Request) (*http.Response, error) { return answer(r, 200, zeros{}), nil }
	for name, tt := range map[string]struct {
		other func(r *http.Request) (*http.Response, error)
		code  string
		words string
	}{
		"endless data": {endless, "metadata_too_large", "2.root.json is longer than the 65536 bytes"},
		"nothing at all": {func(r *http.Request) (*http.Response, error) { return answer(r, 404, strings.NewReader("")), nil },
			"metadata_absent", "no timestamp.json: its release metadata is not set up"},
		"a broken server": {func(r *http.Request) (*http.Response, error) { return answer(r, 503, strings.NewReader("")), nil },
			"http_503", "ask for 2.root.json: "},
		"a redirect elsewhere": {func(r *http.Request) (*http.Response, error) {
			elsewhere := r.Clone(r.Context())
			elsewhere.URL = &url.URL{Scheme: "https", Host: "cdn.example.org", Path: r.URL.Path}
			return answer(elsewhere, 200, strings.NewReader("{}")), nil
		}, "url_refused", "asked for at updates.example.org alone"},
		"a web page": {func(r *http.Request) (*http.Response, error) {
			return answer(r, 200, strings.NewReader("<html>")), nil
		}, "metadata_malformed", "root: it is no whole JSON"},
		"a cut": {func(r *http.Request) (*http.Response, error) { return answer(r, 200, cut{}), nil }, "server_unreachable", "unexpected EOF"},
	} {
		s := newSite(t, tuftest.File("0.2.1", "b"))
		c := s.open()
		s.renew(c)
		before := c.Report()
		s.other = tt.other
		err := c.Renew(t.Context())
		var coded interface{ Code() string }
		if !errors.As(err, &coded) || coded.Code() != tt.code || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %s %q", name, err, tt.code, tt.words)
		}
		after := c.Report()
		if after.Refused == nil || after.Refused.Code != tt.code || len(after.Documents) != 4 || after.Documents[tuf.RoleTimestamp] != before.Documents[tuf.RoleTimestamp] {
			t.Errorf("%s: %+v", name, after)
		}
		if err := c.Vouch(of(tuftest.File("0.2.1", "b"))); err != nil {
			t.Errorf("%s: what it has is still good: %v", name, err)
		}
		s.other = nil
		if s.renew(c); c.Report().Refused != nil {
			t.Errorf("%s: %+v", name, c.Report())
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// drip gives a byte a second, for ever.
type drip struct{ ctx context.Context }

func (d drip) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		b[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestSlowRetrieval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.other = func(r *http.Request) (*http.Response, error) { return answer(r, 200, drip{r.Context()}), nil }
		c, start := s.open(), time.Now()
		err := c.Renew(t.Context())
		var unreachable *httpguard.UnreachableError
		if !errors.As(err, &unreachable) || time.Since(start) != timeout || !strings.Contains(err.Error(), "no 2.root.json within 1m0s") {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// The robot is switched off and on: what it accepted stays accepted.
func TestNeverBack(t *testing.T) {
	good := tuftest.File("0.2.1", "b")
	s := newSite(t, good)
	old := s.repo.Clone()
	gone := good
	gone.Status = tuf.NoLonger
	s.repo.List(noon, gone)
	s.renew(s.open())
	s.repo = old
	c := s.open()
	refuses(t, "a replay", c.Renew(t.Context()), tuf.OlderThan, "roll-back or replay attack", "timestamp 2 was accepted before, and the server offers 1")
	refuses(t, "the file of before", c.Vouch(of(good)), tuf.Withdrawn)
}

func TestDamagedCopies(t *testing.T) {
	good := tuftest.File("0.2.1", "b")
	s := newSite(t, good)
	s.renew(s.open())
	old := s.repo.Clone()
	s.repo.List(noon, good)
	s.renew(s.open())
	for _, path := range newFile(disk.Disk{}, s.dir).Paths() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, []byte(`"targets":"`)) + 100
		b[at] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s.log.Reset()
		c := s.open() // the other copy counts
		if err := c.Vouch(of(good)); err != nil || c.Report().Documents[tuf.RoleTargets].Version != 2 || !strings.Contains(s.log.String(), "put aside as") {
			t.Errorf("%s: %v, %s", path, err, s.log.String())
		}
		s.repo, old = old, s.repo
		refuses(t, path, c.Renew(t.Context()), tuf.OlderThan)
		s.repo, old = old, s.repo
	}
	for _, path := range newFile(disk.Disk{}, s.dir).Paths() {
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := s.open()
	refuses(t, "both", c.Vouch(of(good)), tuf.Damaged, "metadata.json", "metadata.copy.json", "restart the agent")
	refuses(t, "both", c.Renew(t.Context()), tuf.Damaged)
	if w := c.Report().Warnings(noon); len(w) != 1 || !strings.Contains(w[0], "metadata_damaged") {
		t.Errorf("%q", w)
	}
	for _, path := range newFile(disk.Disk{}, s.dir).Paths() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	s.renew(s.open())
}

func TestTheOperatorsRoot(t *testing.T) {
	good := tuftest.File("0.2.1", "b")
	s := newSite(t, good)
	c := s.open()
	s.renew(c)
	first := s.repo.First()
	// The same with a third signature is no other root.
	s.cfg.Root = tuftest.Signed(first, s.repo.Root[2])
	s.renew(s.open())
	// A rotation that nobody can sign: the robot is led on by its operator.
	s.repo.Root = []*tuftestKey{tuftest.Key(), tuftest.Key(), tuftest.Key()}
	s.repo.Online = tuftest.Key()
	s.repo.Rotate(noon, 0, 1)
	s.repo.Snap(noon)
	refuses(t, "a stranger's", s.open().Renew(t.Context()), tuf.TooFew, "root")
	s.cfg.Root = s.repo.Documents["2.root.json"]
	if c := s.open(); c.Renew(t.Context()) != nil || c.Report().Documents[tuf.RoleRoot].Version != 2 {
		t.Errorf("%+v", c.Report())
	}
	s.cfg.Root = first // an old file does not lead back
	if c := s.open(); c.Renew(t.Context()) != nil || c.Report().Documents[tuf.RoleRoot].Version != 2 {
		t.Errorf("%+v", c.Report())
	}
	other := tuftest.New(noon)
	other.Rotate(noon, 0, 1)
	s.cfg.Root = other.Documents["2.root.json"]
	refuses(t, "another fleet's", s.open().Renew(t.Context()), tuf.OtherFleet, "remove")
	for name, root := range map[string][]byte{"nothing": nil, "a web page": []byte("<html>"), "one signature": tuftest.Signed(unsigned(t, other), other.Root[0])} {
		s.cfg.Root = root
		refuses(t, name, s.open().Vouch(of(good)), tuf.NoRoot, "metadata.root: ")
	}
	s.cfg.RootErr = errors.New("open /etc/robot-ota/root.json: no such file or directory")
	refuses(t, "no file", s.open().Renew(t.Context()), tuf.NoRoot, "put your fleet's root document there")
}

type tuftestKey = tuftest.PrivateKey

func unsigned(t *testing.T, r *tuftest.Repo) []byte {
	t.Helper()
	b, err := tuf.NewRoot(r.Plan(noon))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClock(t *testing.T) {
	s := newSite(t, tuftest.File("0.2.1", "b"))
	c := s.open()
	s.now = time.Unix(0, 0)
	refuses(t, "1970", c.Renew(t.Context()), tuf.Clock, "never set", "timedatectl")
	if len(s.asked) > 0 {
		t.Errorf("asked %v", s.asked)
	}
	s.now = noon
	s.renew(c)
}

// full is a disk on which nothing can be written any more.
type full struct{ disk.Layer }

func (full) OpenFile(path string, flag int, perm os.FileMode) (disk.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return nil, errors.New("no space left on device")
	}
	return disk.Disk{}.OpenFile(path, flag, perm)
}

// What is not durable is not acted on: else a restart would lead back.
func TestFullDisk(t *testing.T) {
	s := newSite(t, tuftest.File("0.2.0", "a"))
	s.renew(s.open())
	s.cfg.Disk = disk.On(full{disk.Disk{}})
	s.repo.List(noon, tuftest.File("0.2.1", "b"))
	c := s.open()
	if err := c.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "keep the release metadata: ") {
		t.Fatal(err)
	}
	refuses(t, "what it could not keep", c.Vouch(of(tuftest.File("0.2.1", "b"))), tuf.NotListed)
}

func FuzzRecord(f *testing.F) {
	r := tuftest.New(noon, tuftest.File("0.2.0", "a"))
	b, err := encode(accepted{number: 3, renewed: noon, held: tuf.Held{Root: r.First(), Timestamp: r.Documents["timestamp.json"]}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(a)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || !bytes.Equal(back.held.Root, a.held.Root) || back.number != a.number || !back.renewed.Equal(a.renewed) {
			t.Errorf("%q: %v", b, err)
		}
	})
}
