package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// site is a robot's state directory, its configured keys, and those who sign.
type site struct {
	t       *testing.T
	dir     string
	log     *bytes.Buffer
	signers []keyringtest.Signer
	base    keyring.Base // trusts key 0
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "state"), log: new(bytes.Buffer), signers: keyringtest.Signers(3)}
	s.base = keyring.Base{Threshold: 1, Files: []keyring.Source{{Name: "a.der", Keys: s.pubs(0)}}}
	return s
}

func (s *site) id(i int) string { return s.signers[i].ID() }

func (s *site) pubs(i int) []image.Key { return []image.Key{s.signers[i].Public} }

func (s *site) open() *Store {
	s.t.Helper()
	st, err := Open(Config{Dir: s.dir, Base: s.base}, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// document of a version is signed by a key, trusts another, and revokes.
func (s *site) document(version uint64, by, trusts int, revokes ...int) []byte {
	c := keyring.Content{Version: version, Keys: s.pubs(trusts)}
	for _, i := range revokes {
		c.Revoked = append(c.Revoked, s.id(i))
	}
	return keyringtest.Document(c, s.signers[by]).Encode()
}

// trusts demands the ring in force.
func (s *site) trusts(st *Store, ids ...string) {
	s.t.Helper()
	if got := st.Ring().IDs(); !slices.Equal(got, ids) {
		s.t.Errorf("trusted %v, want %v", got, ids)
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) get(name string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *site) put(name string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func TestARevocationHoldsAtOnceAndAfterARestart(t *testing.T) {
	s := newSite(t)
	st := s.open()
	s.trusts(st, s.id(0))
	if r := st.Report(); r.Version != 0 || r.Accepted != nil {
		t.Errorf("%+v", r)
	}
	fresh, err := st.Update(s.document(7, 0, 1, 0), "file")
	if !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	for _, st := range []*Store{st, s.open()} {
		s.trusts(st, s.id(1))
		r := st.Report()
		if r.Version != 7 || r.From != "file" || r.Accepted == nil || r.Accepted.IsZero() || !slices.Equal(keyring.IDs(r.Revoked), []string{s.id(0)}) {
			t.Errorf("%+v", r)
		}
	}
	for _, name := range []string{"keyring.json", "keyring.copy.json"} {
		if info, err := os.Stat(s.path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if !strings.Contains(s.log.String(), "keyring accepted") || !strings.Contains(s.log.String(), s.id(1)) {
		t.Errorf("the log says\n%s", s.log)
	}
	if fresh, err := st.Update(s.document(7, 0, 1, 0), "file"); fresh || err != nil {
		t.Errorf("the same again: %v, %v", fresh, err)
	}
}

func TestRefusedByAnOperatorsHand(t *testing.T) {
	s := newSite(t)
	st := s.open()
	for name, tt := range map[string]struct {
		doc  []byte
		code keyring.Code
	}{
		"garbage":     {[]byte("garbage"), keyring.Malformed},
		"cut":         {s.document(1, 0, 1)[:200], keyring.Malformed},
		"foreign key": {s.document(1, 2, 1), keyring.ForeignKey},
	} {
		fresh, err := st.Update(tt.doc, "file")
		var r *keyring.Refused
		if fresh || !errors.As(err, &r) || r.Code != tt.code {
			t.Errorf("%s: %v, %v", name, fresh, err)
		}
	}
	if r := st.Report(); r.Refused != nil || len(r.Warnings()) > 0 {
		t.Errorf("an operator's slip stays: %+v", r)
	}
	if _, err := os.Stat(s.path("keyring.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused document is kept: %v", err)
	}
	s.trusts(st, s.id(0))
}

func TestWhatTheServerHasIsRefusedOnce(t *testing.T) {
	s := newSite(t)
	st := s.open()
	if wants(st, 0) || !wants(st, 1) {
		t.Error("wants what is not newer, or not what is")
	}
	bad := s.document(3, 2, 1)
	for range 3 {
		st.Take([][]byte{bad}, "https://u/v1/keyring")
	}
	r := st.Report()
	if r.Refused == nil || r.Refused.Code != keyring.ForeignKey || r.Refused.From != "https://u/v1/keyring" || len(r.Warnings()) != 1 {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(s.log.String(), "is not taken"); n != 1 || !strings.Contains(s.log.String(), `attack="arbitrary keyring"`) {
		t.Errorf("logged %d times:\n%s", n, s.log)
	}
	st.Missed("https://u/v1/keyring", errors.New("404"))
	st.Missed("https://u/v1/keyring", errors.New("404"))
	if r := st.Report(); r.Refused == nil || r.Refused.Code != notTaken || r.Refused.Text != "404" {
		t.Errorf("%+v", r.Refused)
	}
	if n := strings.Count(s.log.String(), "is not taken"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, s.log)
	}
	st.Take([][]byte{s.document(3, 0, 1)}, "https://u/v1/keyring")
	if r := st.Report(); r.Refused != nil || r.Version != 3 {
		t.Errorf("%+v", r)
	}
	st.Take([][]byte{bad}, "https://u/v1/keyring")
	st.Wants(3) // the server has taken the bad one away
	if r := st.Report(); r.Refused != nil {
		t.Errorf("%+v", r)
	}
}

func wants(st *Store, version uint64) bool {
	_, wanted := st.Wants(version)
	return wanted
}

// A robot that was away gets there by the documents in between, and what it
// got of them stays where the last is refused.
func TestCatchingUpWithTheServer(t *testing.T) {
	s := newSite(t)
	st := s.open()
	first, second := s.document(1, 0, 1), s.document(4, 1, 2, 0) // 0 trusts 1; 1 revokes 0 and trusts 2
	st.Take([][]byte{second}, "server")
	if r := st.Report(); r.Version != 0 || r.Refused == nil || r.Refused.Code != keyring.ForeignKey {
		t.Errorf("the newest alone: %+v", r)
	}
	st.Take([][]byte{first, second}, "server")
	s.trusts(st, s.id(2))
	if r := st.Report(); r.Version != 4 || r.Refused != nil {
		t.Errorf("%+v", r)
	}
	if after, wanted := st.Wants(5); after != 4 || !wanted {
		t.Errorf("wants what comes after %d: %v", after, wanted)
	}
	s.trusts(s.open(), s.id(2))

	s = newSite(t)
	st = s.open()
	for name, last := range map[string][]byte{"a document by a foreign key": s.document(9, 2, 2, 0), "garbage": []byte("garbage")} {
		st.Take([][]byte{[]byte("torn"), s.document(1, 0, 1), last}, "server")
		if r := st.Report(); r.Version != 1 || r.Refused == nil {
			t.Errorf("%s: %+v", name, r)
		}
		s.trusts(st, s.id(0), s.id(1))
	}
}

// full is a disk without room for files with that in their names.
type full struct {
	disk.Layer
	named string
}

func (f full) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	if flag&os.O_CREATE != 0 && strings.Contains(path, f.named) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	return f.Layer.OpenFile(path, flag, perm)
}

// A document that cannot be kept is not in force, so that it is offered again.
func TestAFullDisk(t *testing.T) {
	s := newSite(t)
	st := s.open()
	st.file.Disk = disk.On(full{disk.Disk{}, ""})
	if fresh, err := st.Update(s.document(1, 0, 1, 0), "file"); fresh || err == nil || !strings.Contains(err.Error(), "so it is not in force: replace ") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, %v", fresh, err)
	}
	s.trusts(st, s.id(0))
	if !wants(st, 1) {
		t.Error("it would not be asked for again")
	}
	// The first copy is what counts.
	st.file.Disk = disk.On(full{disk.Disk{}, "copy.json"})
	if fresh, err := st.Update(s.document(1, 0, 1, 0), "file"); !fresh || err != nil {
		t.Errorf("%v, %v", fresh, err)
	}
	s.trusts(st, s.id(1))
	s.trusts(s.open(), s.id(1))
	if !bytes.Equal(s.get("keyring.json"), s.get("keyring.copy.json")) {
		t.Error("the restart has not made the second copy")
	}
}

// The agent dies between write and rename of either copy: the document of
// before or the new one is in force, both times with all that it revokes.
func TestACrashBetweenWriteAndRename(t *testing.T) {
	s := newSite(t)
	st := s.open()
	must(t, st, s.document(1, 0, 1)) // trusts 0 and 1
	before := map[string][]byte{"keyring.json": s.get("keyring.json"), "keyring.copy.json": s.get("keyring.copy.json")}
	must(t, st, s.document(2, 0, 1, 0)) // revokes 0
	after := map[string][]byte{"keyring.json": s.get("keyring.json"), "keyring.copy.json": s.get("keyring.copy.json")}

	restore := func(m map[string][]byte) {
		for name, b := range m {
			s.put(name, b)
		}
	}
	restore(before)
	s.put(".keyring.json.123", after["keyring.json"]) // written, not renamed
	st = s.open()
	s.trusts(st, s.id(0), s.id(1))
	if !wants(st, 2) {
		t.Error("the document that was lost would not be asked for again")
	}

	restore(before)
	s.put("keyring.json", after["keyring.json"])           // renamed
	s.put(".keyring.copy.json.123", after["keyring.json"]) // written, not renamed
	st = s.open()
	s.trusts(st, s.id(1))
	if !bytes.Equal(s.get("keyring.copy.json"), after["keyring.copy.json"]) {
		t.Error("the second copy was not mended")
	}
}

func must(t *testing.T, st *Store, doc []byte) {
	t.Helper()
	if fresh, err := st.Update(doc, "file"); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
}

// One copy is damaged in any way: the other counts, and nothing is lost.
func TestOneCopyIsDamaged(t *testing.T) {
	s := newSite(t)
	must(t, s.open(), s.document(1, 0, 1))
	old := s.get("keyring.json")
	must(t, s.open(), s.document(2, 0, 1, 0))
	whole := s.get("keyring.json")
	damages := map[string][]byte{
		"another agent's": []byte(`{"schema":0}`), "an older document": old, "nothing": {}, "zeros": make([]byte, len(whole)),
		"endless": bytes.Repeat([]byte(" "), maxRecord+1), "another revocation": otherRevocation(t, whole, s.id(0)),
	}
	for n := 0; n < len(whole)-1; n += 7 {
		damages["cut at "+string(rune('0'+n%10))+strings.Repeat("x", n)] = whole[:n]
	}
	for name, bad := range damages {
		for _, copyName := range []string{"keyring.json", "keyring.copy.json"} {
			s.put("keyring.json", whole)
			s.put("keyring.copy.json", whole)
			s.put(copyName, bad)
			st := s.open()
			if got := st.Ring().IDs(); !slices.Equal(got, []string{s.id(1)}) {
				t.Fatalf("%.30s in %s: trusted %v", name, copyName, got)
			}
			if !bytes.Equal(s.get(copyName), whole) {
				t.Errorf("%.30s in %s: it was not mended", name, copyName)
			}
		}
	}
	if err := os.Remove(s.path("keyring.json")); err != nil {
		t.Fatal(err)
	}
	s.trusts(s.open(), s.id(1))
}

// otherRevocation changes the revoked id and leaves all else as it was.
func otherRevocation(t *testing.T, whole []byte, id string) []byte {
	t.Helper()
	_, rest, _ := strings.Cut(string(whole), `"payload": "`)
	packed, _, _ := strings.Cut(rest, `"`)
	raw, err := base64.StdEncoding.DecodeString(packed)
	if err != nil || !bytes.Contains(raw, []byte(id)) {
		t.Fatalf("%q: %v", raw, err)
	}
	raw = bytes.Replace(raw, []byte(id), []byte("00000000000000aa"), 1)
	return bytes.Replace(whole, []byte(packed), []byte(base64.StdEncoding.EncodeToString(raw)), 1)
}

// Nothing is left that can be read: nobody is trusted, at every start, until an
// operator has removed what is left.
func TestBothCopiesAreDamaged(t *testing.T) {
	s := newSite(t)
	must(t, s.open(), s.document(2, 0, 1, 0))
	whole := s.get("keyring.json")
	flipped := bytes.Replace(whole, []byte(`"digest": "`), []byte(`"digest": "0`), 1)
	for name, damage := range map[string][2][]byte{
		"both are cut":            {whole[:100], whole[:200]},
		"one is cut, one is gone": {whole[:100], nil},
		"one is gone, one is cut": {nil, whole[:100]},
		"both are empty":          {{}, {}},
		"the digest does not fit": {flipped, flipped},
		"another revocation":      {otherRevocation(t, whole, s.id(0)), nil},
		"of a newer agent":        {bytes.Replace(whole, []byte(`"schema": 1`), []byte(`"schema": 2`), 1), whole},
	} {
		for i, copyName := range []string{"keyring.json", "keyring.copy.json"} {
			if err := os.RemoveAll(s.path(copyName)); err != nil {
				t.Fatal(err)
			}
			if damage[i] != nil {
				s.put(copyName, damage[i])
			}
		}
		for range 2 { // the second start knows as little
			s.log.Reset()
			st := s.open()
			s.trusts(st)
			r := st.Report()
			if len(r.Trusted) != 0 || len(r.Warnings()) != 1 || !strings.Contains(r.Warnings()[0], "no key is trusted: the accepted keyring cannot be read") {
				t.Errorf("%s: %+v", name, r)
			}
			var d *DamagedError
			for _, doc := range [][]byte{s.document(2, 0, 1, 0), s.document(9, 0, 1, 0)} { // by the key that was revoked
				if fresh, err := st.Update(doc, "file"); fresh || !errors.As(err, &d) {
					t.Errorf("%s: a document is taken: %v, %v", name, fresh, err)
				}
			}
			if wants(st, 9) || !strings.Contains(s.log.String(), "no key is trusted") {
				t.Errorf("%s: the log says\n%s", name, s.log)
			}
		}
	}
	for _, name := range []string{"keyring.json", "keyring.copy.json"} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.base.Lists = []keyring.List{{Name: "x.revoked", IDs: []string{s.id(0)}}}
	s.base.Files = append(s.base.Files, keyring.Source{Name: "b.der", Keys: s.pubs(1)})
	s.trusts(s.open(), s.id(1)) // as the message says
}

// TestTheCopiesSayTwoThings: one version, two documents; an attacker's or a
// mistake, and nobody's to decide here.
func TestTheCopiesSayTwoThings(t *testing.T) {
	s := newSite(t)
	must(t, s.open(), s.document(2, 0, 1, 0))
	other := newSite(t)
	other.signers, other.base = s.signers, s.base
	must(t, other.open(), s.document(2, 0, 2))
	s.put("keyring.copy.json", other.get("keyring.json"))
	st := s.open()
	s.trusts(st)
	if r := st.Report(); !strings.Contains(r.Damaged, "the copies say two things under version 2") {
		t.Errorf("%+v", r)
	}
}

func TestALinkIsNotFollowed(t *testing.T) {
	s := newSite(t)
	must(t, s.open(), s.document(2, 0, 1, 0))
	if err := errors.Join(os.Rename(s.path("keyring.json"), s.path("elsewhere")), os.Symlink("elsewhere", s.path("keyring.json")), os.Remove(s.path("keyring.copy.json"))); err != nil {
		t.Fatal(err)
	}
	if r := s.open().Report(); !strings.Contains(r.Damaged, "is no regular file") {
		t.Errorf("%+v", r)
	}
}

// Whoever verifies while a document comes in sees the ring of before or of
// after, and nothing in between.
func TestManyAtOnce(t *testing.T) {
	s := newSite(t)
	st := s.open()
	docs := [][]byte{s.document(1, 0, 1), s.document(2, 0, 1, 0)}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if ids := st.Ring().IDs(); len(ids) == 0 || len(ids) > 2 {
					t.Errorf("trusted %v", ids)
				}
				st.Report()
			}
		})
	}
	for _, d := range docs {
		wg.Go(func() { st.Take([][]byte{d}, "server"); st.Wants(2) })
	}
	for _, d := range docs {
		if _, err := st.Update(d, "file"); err != nil && code(err) != keyring.NotNewer {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	s.trusts(st, s.id(1))
}

func TestOpenNeedsAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: filepath.Join(file, "state")}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "state directory") {
		t.Errorf("%v", err)
	}
}

// FuzzDecode: what is read back is what was written, or nothing.
func FuzzDecode(f *testing.F) {
	d := keyringtest.Any(3)
	good, err := encode(accepted{doc: d, from: "file"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(a)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || digest(back.doc) != digest(a.doc) || back.from != a.from {
			t.Fatalf("does not survive: %v", err)
		}
	})
}
