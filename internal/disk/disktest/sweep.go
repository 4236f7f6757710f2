package disktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// What is tried, and told, is said by the environment.
const (
	// FullEnv, set to "full": more seeds, and many more second cuts.
	FullEnv = "ROBOT_OTA_PROOF"
	// ReportEnv names a file that a line of JSON is appended to.
	ReportEnv = "ROBOT_OTA_PROOF_REPORT"
	// PointEnv names the one point to be tried again.
	PointEnv = "ROBOT_OTA_PROOF_POINT"
)

// fullSecond is about how many second points a full run tries of a part, beside
// those after a kill.
const fullSecond = 50_000

// A Life is what a program does with a disk from its start until it ends or
// dies. It gets what is known of the lives before, and gives what is known
// after it: what was promised to last, what may or may not be there. It says
// what is wrong with what it finds; an error of a disk that was told to fail
// is nothing wrong, and ends it.
type Life[S any] func(d disk.Disk, known S) (S, error)

// Report is what a sweep has tried.
type Report struct {
	Part     string `json:"part"`
	Points   int    `json:"points"`   // one cut or one fault
	Second   int    `json:"second"`   // and another in the life after it
	Failures int    `json:"failures"` // of both
	Seeds    string `json:"seeds"`
}

// Sweep cuts and fails a life at each of its operations, with every fate, and
// those after it at each of theirs (in a short run: at some), until one is left
// in peace, which must go well, twice. S is copied by assignment.
func Sweep[S any](t testing.TB, part string, start S, live Life[S]) Report {
	t.Helper()
	s := &sweep[S]{t: t, live: live, full: os.Getenv(FullEnv) == "full", only: os.Getenv(PointEnv), rng: rand.New(rand.NewPCG(1, 0))} //nolint:gosec // to be the same each time
	s.report = Report{Part: part, Seeds: "0-1"}
	s.seeds = 2
	if s.full {
		s.report.Seeds, s.seeds = "0-7", 8
	}
	whole := New()
	if _, err := live(whole.Disk(), start); err != nil {
		t.Fatalf("undisturbed: %v", err)
	}
	ops := whole.Ops()
	s.share = min(1, fullSecond/float64(len(ops)*len(ops)*len(s.ends())*(1+len(faults(1)))*(len(Fates())+len(faults(1)))))
	for n := 1; n <= len(ops)+1; n++ { // the last: a cut when all is done
		s.first(n, start)
		for _, f := range faults(n) {
			s.fault(f, start)
		}
	}
	t.Logf("%s: %d operations, %d points, %d second ones, %d failures", part, len(ops), s.report.Points, s.report.Second, s.report.Failures)
	if err := s.report.Write(); err != nil {
		t.Error(err)
	}
	return s.report
}

type sweep[S any] struct {
	t      testing.TB
	live   Life[S]
	full   bool
	only   string // the one point that is tried; "": all
	rng    *rand.Rand
	seeds  uint64
	share  float64 // of the second cuts that a full run makes
	report Report
}

// end is how a disk outlives a life.
type end struct {
	fate Fate
	seed uint64
}

func (e end) String() string { return fmt.Sprintf("%v:%d", e.fate, e.seed) }

func (s *sweep[S]) ends() []end {
	var all []end
	for _, f := range Fates() {
		all = append(all, end{fate: f})
	}
	for seed := uint64(1); seed < s.seeds; seed++ {
		all = append(all, end{Torn, seed})
	}
	return all
}

func faults(at int) []Fault {
	return []Fault{
		{At: at, Err: syscall.ENOSPC}, {At: at, Err: syscall.ENOSPC, Lasting: true},
		{At: at, Err: syscall.EIO}, {At: at, Err: syscall.EIO, Lasting: true},
		{At: at, Err: syscall.EROFS, Lasting: true},
	}
}

func (f Fault) String() string {
	name := map[error]string{syscall.ENOSPC: "ENOSPC", syscall.EIO: "EIO", syscall.EROFS: "EROFS"}[f.Err]
	if f.Lasting {
		name += "+"
	}
	return fmt.Sprintf("%d:%s", f.At, name)
}

// first cuts at operation n.
func (s *sweep[S]) first(n int, start S) {
	name := fmt.Sprintf("%d", n)
	if !s.wanted(name) {
		return
	}
	m := New()
	m.CutAt(n)
	known, err := s.live(m.Disk(), start)
	m.Cut()
	if err != nil && !planned(err) {
		s.wrong(name, m, err)
		return
	}
	s.follow(name, m, known, n)
}

// fault has the disk fail at some operation, and cuts when the life has ended.
func (s *sweep[S]) fault(f Fault, start S) {
	name := f.String()
	if !s.wanted(name) {
		return
	}
	m := New()
	m.Fail(f)
	known, err := s.live(m.Disk(), start)
	m.Cut()
	if err != nil && !planned(err) {
		s.wrong(name, m, err)
		return
	}
	s.follow(name, m, known, 0)
}

// follow lets other lives find what the one on m, which was cut at operation n,
// or met a fault (0), has left.
func (s *sweep[S]) follow(name string, m *Model, known S, n int) {
	for _, e := range s.ends() {
		name := name + ":" + e.String()
		if !s.wanted(name) {
			continue
		}
		s.report.Points++
		ops := s.last(name, m, e, known)
		for k := 1; k <= ops; k++ {
			if !s.draw(n, ops, e) {
				continue
			}
			s.again(fmt.Sprintf("%s/%d", name, k), m.After(e.fate, e.seed), known, k, Fault{})
			for _, f := range faults(k) {
				if s.all() {
					s.again(fmt.Sprintf("%s/%v", name, f), m.After(e.fate, e.seed), known, 0, f)
				}
			}
		}
	}
}

// all says whether a point is to be tried with all that comes after it.
func (s *sweep[S]) all() bool { return s.full || s.only != "" }

// draw says whether a second cut is made at one of ops operations, after a
// first one at n and that end. A short run makes all after a kill, which leaves
// to the next life what is not safe; else one of them on average, and after a
// fault none. A full one makes as many of all as s.share says.
func (s *sweep[S]) draw(n, ops int, e end) bool {
	switch {
	case s.only != "" || e.fate == Kept && n > 0:
		return true
	case s.full:
		return s.rng.Float64() < s.share
	case n == 0 && e.fate != Kept:
		return false
	}
	return s.rng.IntN(ops) == 0
}

// again disturbs the life after the first, on its disk m.
func (s *sweep[S]) again(name string, m *Model, known S, cut int, f Fault) {
	if !s.wanted(name) {
		return
	}
	m.CutAt(cut)
	m.Fail(f)
	known, err := s.live(m.Disk(), known)
	m.Cut()
	if err != nil && !planned(err) {
		s.wrong(name, m, err)
		return
	}
	ends := s.ends()[:len(Fates())]
	switch {
	case s.only != "":
	case cut == 0:
		ends = ends[s.rng.IntN(len(ends)):][:1]
	case !s.full:
		ends = []end{{fate: Lost}, ends[s.rng.IntN(len(ends))]}[s.rng.IntN(2):]
	}
	for _, e := range ends {
		if name := name + ":" + e.String(); s.wanted(name) {
			s.report.Second++
			s.last(name, m, e, known)
		}
	}
}

// last lets two lives go undisturbed, and gives the number of operations of the
// first of them.
func (s *sweep[S]) last(name string, m *Model, e end, known S) int {
	after := m.After(e.fate, e.seed)
	known, err := s.live(after.Disk(), known)
	ops := len(after.Ops())
	if err == nil {
		known, err = s.live(after.Disk(), known)
	}
	if err == nil && e.fate == Kept { // what they found then is safe now
		_, err = s.live(after.After(Lost, 0).Disk(), known)
	}
	if err != nil {
		s.wrong(name, m, err)
	}
	return ops
}

// wanted says whether a point, or one that begins with it, is to be tried.
func (s *sweep[S]) wanted(name string) bool {
	return s.report.Failures < 5 && (s.only == "" || name == s.only || strings.HasPrefix(s.only, name+":") || strings.HasPrefix(s.only, name+"/"))
}

// shown are the operations that a failure tells of.
const shown = 12

func (s *sweep[S]) wrong(name string, m *Model, err error) {
	s.t.Helper()
	s.report.Failures++
	var did strings.Builder
	for i, o := range m.Ops() {
		if last := len(m.Ops()); i >= last-shown {
			fmt.Fprintf(&did, "\n  %d %v", i+1, o)
		}
	}
	s.t.Errorf("%s: point %s: %v\nthe last life but this one did%s\nagain: %s='%s' go test -run '^%s$' .", s.report.Part, name, err, did.String(), PointEnv, name, s.t.Name())
}

// Write appends the report to the file that ReportEnv names; "": to none.
func (r Report) Write() error {
	path := os.Getenv(ReportEnv)
	if path == "" {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
