package tuf_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

var noon = tuftest.Noon()

const hour = time.Hour

// client is one who has accepted what a repository had at noon.
type client struct {
	held tuf.Held
	now  time.Time
}

func newClient(t *testing.T, r *tuftest.Repo) *client {
	t.Helper()
	c := &client{held: tuf.Held{Root: r.First()}, now: noon}
	if _, err := c.refresh(t, r.Fetch); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) refresh(t *testing.T, f tuf.Fetch) (tuf.State, error) {
	t.Helper()
	s, held, err := tuf.Refresh(t.Context(), c.held, c.now, f)
	c.held = held
	return s, err
}

// refuses demands a code, and words that help.
func refuses(t *testing.T, name string, err error, code tuf.Code, words ...string) {
	t.Helper()
	var r *tuf.Refused
	if !errors.As(err, &r) || r.Reason != code {
		t.Errorf("%s: got %v, want %s", name, err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v\nwants %q", name, err, w)
		}
	}
}

func TestRefresh(t *testing.T) {
	old, fresh := tuftest.File("0.2.0", "a"), tuftest.File("0.2.1", "b")
	r := tuftest.New(noon, old)
	c := newClient(t, r)
	r.Stamp(noon.Add(20 * hour))
	r.List(noon.Add(21*hour), old, fresh)
	c.now = noon.Add(30 * hour)
	s, err := c.refresh(t, r.Fetch)
	if err != nil || s.Timestamp.Version != 3 || s.Snapshot.Version != 2 || s.Targets.Version != 2 || !slices.Equal(s.Files, []tuf.File{old, fresh}) {
		t.Fatalf("%+v, %v", s, err)
	}
	if role, at := s.Expires(); role != tuf.RoleTimestamp || !at.Equal(noon.Add(45*hour)) {
		t.Errorf("expires: %s at %v", role, at)
	}
	again, err := tuf.Load(c.held, c.now)
	if err != nil || !slices.Equal(again.Files, s.Files) || again.Root != s.Root || again.Timestamp != s.Timestamp {
		t.Errorf("from what is held: %+v, %v", again, err)
	}
	_, err = tuf.Load(c.held, noon.Add(46*hour))
	refuses(t, "held for too long", err, tuf.Expired, "timestamp 3 expired at 2026-03-03T09:00:00Z")
	_, err = tuf.Load(tuf.Held{Root: r.First()}, noon)
	refuses(t, "nothing held", err, tuf.Absent)
	// Nothing new costs two questions: is there a next root, and the timestamp.
	var asked []string
	_, err = c.refresh(t, func(ctx context.Context, name string, limit int64) ([]byte, error) {
		asked = append(asked, name)
		return r.Fetch(ctx, name, limit)
	})
	if err != nil || !slices.Equal(asked, []string{"2.root.json", "timestamp.json"}) {
		t.Errorf("asked for %v, %v", asked, err)
	}
}

// Each attack on the documents by whoever stands between, or has stolen a key
// that alone does not suffice.
func TestAttacks(t *testing.T) {
	good, evil := tuftest.File("0.2.0", "a"), tuftest.File("9.9.9", "e")
	withdrawn := good
	withdrawn.Status = tuf.NoLonger
	for name, tt := range map[string]struct {
		attack func(r *tuftest.Repo) *tuftest.Repo // what is served instead
		after  time.Duration
		code   tuf.Code
		words  []string
	}{
		"freeze: the old timestamp for ever": {
			func(r *tuftest.Repo) *tuftest.Repo { return r }, 26 * hour, tuf.Expired, []string{"freeze attack", "timestamp 2 expired at 2026-03-02T13:00:00Z", "ota-fleet metadata show", "clock says 2026-03-02T14:00:00Z"},
		},
		"freeze by a stolen online key: the snapshot for ever": {
			func(r *tuftest.Repo) *tuftest.Repo { c := r.Clone(); c.Stamp(noon.Add(9 * tuftest.Day)); return c }, 9 * tuftest.Day, tuf.Expired, []string{"snapshot 2 expired"},
		},
		"freeze by a stolen online key: the list for ever": {
			func(r *tuftest.Repo) *tuftest.Repo { c := r.Clone(); c.Snap(noon.Add(91 * tuftest.Day)); return c }, 91 * tuftest.Day, tuf.Expired, []string{"list of files", "ota-fleet metadata draft"},
		},
		"replay: the timestamp of before the withdrawal": {
			func(*tuftest.Repo) *tuftest.Repo { return nil }, 2 * hour, tuf.OlderThan, []string{"roll-back or replay attack", "timestamp 2 was accepted before, and the server offers 1"},
		},
		"roll-back by a stolen online key: the list of before": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := tuftest.New(noon, good)
				c.Online = r.Online
				c.Jump(10)
				c.Snap(noon.Add(hour))
				return c
			}, 2 * hour, tuf.OlderThan, []string{"snapshot 10 names the list 1, and 2 was accepted before"},
		},
		"mix-and-match: another snapshot under the version that is named": {
			func(r *tuftest.Repo) *tuftest.Repo {
				r.Snap(noon.Add(hour))
				c := r.Clone()
				c.Documents["3.snapshot.json"] = r.Documents["1.snapshot.json"]
				return c
			}, 2 * hour, tuf.Mismatch, []string{"mix-and-match attack", "snapshot 3"},
		},
		"mix-and-match: another list under the version that is named": {
			func(r *tuftest.Repo) *tuftest.Repo {
				r.List(noon.Add(hour), good)
				c := r.Clone()
				c.Documents["3.targets.json"] = r.Documents["1.targets.json"]
				return c
			}, 2 * hour, tuf.Mismatch, []string{"targets 3"},
		},
		"fast-forward: a version beyond every count": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Jump(tuf.MaxVersion + 1)
				c.Stamp(noon.Add(hour))
				return c
			}, 2 * hour, tuf.TooFast, []string{"fast-forward attack"},
		},
		"endless data": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Documents["timestamp.json"] = append(slices.Clone(c.Documents["timestamp.json"]), bytes.Repeat([]byte(" "), tuf.MaxTimestamp)...)
				return c
			}, 2 * hour, tuf.TooLarge, []string{"endless data attack"},
		},
		"arbitrary target: a list that a stranger signed": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Targets, c.Online = tuftest.Key(), tuftest.Key()
				c.List(noon.Add(hour), good, evil)
				return c
			}, 2 * hour, tuf.TooFew, []string{"key compromise attack", "timestamp"},
		},
		"a stolen online key cannot add a file": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Targets = r.Online
				c.List(noon.Add(hour), good, evil)
				return c
			}, 2 * hour, tuf.TooFew, []string{"targets", "got 0, want 1"},
		},
		"one stolen root key of two that are needed": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Targets, c.Online = tuftest.Key(), tuftest.Key()
				c.Rotate(noon, 2)
				c.List(noon.Add(hour), evil)
				return c
			}, 2 * hour, tuf.TooFew, []string{"root", "got 1, want 2"},
		},
		"one stolen root key, twice": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Rotate(noon, 2)
				b := c.Documents["2.root.json"]
				at := bytes.Index(b, []byte(`"signatures": [`))
				end := bytes.Index(b[at:], []byte("}")) + at + 1
				one := b[at+len(`"signatures": [`) : end]
				c.Documents["2.root.json"] = slices.Concat(b[:end], []byte(","), one, b[end:])
				return c
			}, 2 * hour, tuf.Malformed, []string{"multiple signatures"},
		},
		"a root that skips a version": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Rotate(noon, 0, 1)
				c.Rotate(noon, 0, 1)
				c.Documents["2.root.json"] = c.Documents["3.root.json"]
				return c
			}, 2 * hour, tuf.OlderThan, []string{"asked for version 2, and got 3"},
		},
		"an expired root": {
			func(r *tuftest.Repo) *tuftest.Repo { c := r.Clone(); c.List(noon.Add(366*tuftest.Day), good); return c }, 366 * tuftest.Day, tuf.Expired, []string{"root 1 expired", "ota-sign tuf rotate"},
		},
		"dropped: the snapshot is not handed out": {
			func(r *tuftest.Repo) *tuftest.Repo {
				c := r.Clone()
				c.Snap(noon.Add(hour))
				delete(c.Documents, "3.snapshot.json")
				return c
			}, 2 * hour, tuf.Absent, []string{"no 3.snapshot.json, which its own metadata names"},
		},
	} {
		r := tuftest.New(noon, good)
		before := r.Clone()
		r.List(noon.Add(hour), withdrawn)
		c := newClient(t, r)
		held := c.held
		served := tt.attack(r)
		if served == nil {
			served = before
		}
		c.now = noon.Add(tt.after)
		_, err := c.refresh(t, served.Fetch)
		refuses(t, name, err, tt.code, tt.words...)
		// Nothing of it stays that would do harm: the owner's next word counts.
		if tt.code != tuf.Expired {
			r.Jump(20)
			r.List(noon.Add(2*hour), withdrawn)
			s, err := c.refresh(t, r.Fetch)
			if err != nil {
				t.Errorf("%s: afterwards: %v", name, err)
			} else if err == nil && (len(s.Files) != 1 || s.Files[0].Status != tuf.NoLonger) {
				t.Errorf("%s: afterwards it has %+v", name, s.Files)
			}
		}
		if !bytes.Equal(c.held.Root, held.Root) {
			t.Errorf("%s: it took another root", name)
		}
	}
}

// A stolen online key runs the versions up, so that robots refuse the owner's
// own: a root with another online key gets over it.
func TestFastForwardIsGotOver(t *testing.T) {
	r := tuftest.New(noon, tuftest.File("0.2.0", "a"))
	c := newClient(t, r)
	thief := r.Clone()
	thief.Jump(tuf.MaxVersion)
	thief.Snap(noon.Add(hour))
	if _, err := c.refresh(t, thief.Fetch); err != nil {
		t.Fatal(err)
	}
	r.List(noon.Add(2*hour), tuftest.File("0.2.1", "b"))
	_, err := c.refresh(t, r.Fetch)
	refuses(t, "the owner's own", err, tuf.OlderThan, "2147483647 was accepted before, and the server offers 2", "stolen online key", "ota-sign tuf rotate")
	r.Online = tuftest.Key()
	r.Rotate(noon.Add(3*hour), 1, 2)
	r.Snap(noon.Add(3 * hour))
	s, err := c.refresh(t, r.Fetch)
	if err != nil || s.Root.Version != 2 || s.Timestamp.Version != 3 || s.Files[0].Release != "standard-0.2.1" {
		t.Fatalf("%+v, %v", s, err)
	}
	// What the thief signs from then on counts for nothing.
	thief.Documents["2.root.json"] = r.Documents["2.root.json"]
	_, err = c.refresh(t, thief.Fetch)
	refuses(t, "the thief", err, tuf.TooFew)
}

// A robot that was away takes one root after the other.
func TestRootChain(t *testing.T) {
	r := tuftest.New(noon, tuftest.File("0.2.0", "a"))
	c := newClient(t, r)
	first := slices.Clone(r.Root)
	for i := range 3 { // each key in turn is replaced
		gone := r.Root[i]
		r.Root[i] = tuftest.Key()
		r.RotateBy(noon, append([]*key{gone}, r.Root...)...)
	}
	r.List(noon, tuftest.File("0.2.1", "b"))
	if s, err := c.refresh(t, r.Fetch); err != nil || s.Root.Version != 4 || s.Files[0].Release != "standard-0.2.1" {
		t.Fatalf("%+v, %v", s, err)
	}
	// All keys of the first root together say nothing any more.
	thief := r.Clone()
	thief.Root = first
	thief.Rotate(noon, 0, 1, 2)
	_, err := c.refresh(t, thief.Fetch)
	refuses(t, "old keys", err, tuf.TooFew, "root")
}

func TestClock(t *testing.T) {
	r := tuftest.New(noon)
	c := newClient(t, r)
	c.now = time.Unix(1000, 0)
	_, err := c.refresh(t, r.Fetch)
	refuses(t, "1970", err, tuf.Clock, "this computer's clock says 1970-01-01, so it was never set", "timedatectl")
}

func TestFind(t *testing.T) {
	f, old := tuftest.File("0.2.1", "b"), tuftest.File("0.2.0", "a")
	gone := tuftest.File("0.2.2", "c")
	gone.Status = tuf.NoLonger
	basic := f
	basic.SKU, basic.Release = "basic", "basic-0.2.1"
	list := []tuf.File{basic, old, f, gone}
	for name, tt := range map[string]struct {
		sku  string
		want tuf.File
		code tuf.Code
	}{
		"all agrees":                {"standard", f, ""},
		"by its hash alone":         {"standard", tuf.File{SHA256: f.SHA256}, ""},
		"by its version alone":      {"standard", tuf.File{Version: f.Version}, ""},
		"nothing known":             {"standard", tuf.File{}, ""},
		"another file":              {"standard", tuf.File{SHA256: tuftest.File("0.2.1", "e").SHA256, Version: f.Version}, tuf.OtherFile},
		"a file of nobody":          {"standard", tuf.File{SHA256: tuftest.File("0.2.1", "e").SHA256}, tuf.NotListed},
		"a version of nobody":       {"standard", tuftest.File("0.3.0", "e"), tuf.NotListed},
		"another version's file":    {"standard", tuf.File{SHA256: old.SHA256, Version: tuftest.File("0.3.0", "e").Version}, tuf.OtherFile},
		"another length":            {"standard", tuf.File{SHA256: f.SHA256, Size: f.Size + 1}, tuf.OtherFile},
		"another SKU's":             {"industrial", f, tuf.NotListed},
		"withdrawn":                 {"standard", gone, tuf.Withdrawn},
		"withdrawn, by its version": {"standard", tuf.File{Version: gone.Version}, tuf.Withdrawn},
	} {
		_, err := tuf.Find(list, tt.sku, tt.want)
		if tt.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refuses(t, name, err, tt.code)
	}
}
