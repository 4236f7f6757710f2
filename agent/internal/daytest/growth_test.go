package daytest

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// What may differ between the halves of a soak and is no growth: each figure is
// the least of an hour, and the middle one of a half's hours counts.
const (
	noiseGoroutines = 2
	noiseFiles      = 1
	noiseHeap       = 512 << 10 // bytes
	noiseLengths    = 4         // entries of a map, list or channel
)

// bound is the most of what is there to grow up to one, by the end of its
// path.
func bound(path string) (most int, ok bool) {
	for end, most := range map[string]int{
		".link.refused":   256, // refusals that need not be told again
		".link.seen.list": 512, // commands that were followed
		".known":          64,  // ends of jobs that the history has
		".Job.Evidence":   64,  // of the job that is
		".spent":          64,  // states that it went through
		// A look at the robot, which is there while somebody learns or watches; the robot's own are compared.
		".last.Diagnostics": robot.MaxDiagnostics,
	} {
		if strings.HasSuffix(path, end) {
			return most, true
		}
	}
	return 0, false
}

// hour is the least that was seen in one.
type hour struct {
	goroutines, files int
	heap              uint64
	lengths           map[string]int // of the agent's maps, lists and channels, by their path
}

type hours []hour

// measure looks at the agent every minute.
func (d *day) measure(l *life, n int) hours {
	seen := make(hours, 0, n)
	for range n {
		h := hour{lengths: map[string]int{}}
		for minute := range 60 {
			time.Sleep(time.Minute)
			synctest.Wait() // nobody but us runs, until we sleep again
			h.goroutines = least(h.goroutines, runtime.NumGoroutine(), minute)
			h.files = least(h.files, openFiles(), minute)
			if minute%10 == 9 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				h.heap = least(h.heap, m.HeapAlloc, minute-9)
				sizes := lengths(l)
				for path, n := range sizes {
					if was, known := h.lengths[path]; !known || n < was {
						h.lengths[path] = n
					}
				}
			}
		}
		seen = append(seen, h)
	}
	return seen
}

func least[T int | uint64](so, now T, nth int) T {
	if nth == 0 || now < so {
		return now
	}
	return so
}

func openFiles() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}

// growth says what the second half has more of than the first, whose first hour
// does not count: things are made then.
func (s hours) growth() (all []string) {
	first, second := s[1:len(s)/2], s[len(s)/2:]
	middle := func(h hours, of func(hour) int) int {
		var figures []int
		for _, x := range h {
			figures = append(figures, of(x))
		}
		slices.Sort(figures)
		return figures[len(figures)/2]
	}
	compare := func(what string, noise int, of func(hour) int) {
		if was, is := middle(first, of), middle(second, of); is > was+noise {
			all = append(all, fmt.Sprintf("%s: %d in the first half, %d in the second", what, was, is))
		}
	}
	compare("goroutines", noiseGoroutines, func(h hour) int { return h.goroutines })
	compare("open files", noiseFiles, func(h hour) int { return h.files })
	compare("bytes of heap", noiseHeap, func(h hour) int { return int(h.heap) })
	paths := map[string]bool{}
	for _, h := range s {
		for path := range h.lengths {
			paths[path] = true
		}
	}
	for path := range paths {
		if most, ok := bound(path); ok {
			if n := s[len(s)-1].lengths[path]; n > most {
				all = append(all, fmt.Sprintf("%s: %d, and it is to hold %d", path, n, most))
			}
			continue
		}
		compare(path, noiseLengths, func(h hour) int { return h.lengths[path] })
	}
	return all
}

// TestGrowth: what grows is found, and what is there in some hours and bounded is not taken for it.
func TestGrowth(t *testing.T) {
	day := func(path string, first, second int) (all hours) {
		for i := range 24 {
			n := first
			if i >= 12 {
				n = second
			}
			all = append(all, hour{lengths: map[string]int{path: n}})
		}
		return all
	}
	for _, test := range []struct {
		path          string
		first, second int
		grows         bool
	}{
		{"engine.Engine.queue", 0, 31, true},
		{"engine.Engine.queue", 31, 31 + noiseLengths, false},
		{"robot.Board.facts.Diagnostics", 31, 200, true},
		{"engine.Engine.baseline.learner.last.Diagnostics", 0, 31, false},
		{"engine.Engine.baseline.learner.last.Diagnostics", 0, robot.MaxDiagnostics + 1, true},
	} {
		if got := day(test.path, test.first, test.second).growth(); (len(got) > 0) != test.grows {
			t.Errorf("%s from %d to %d: %q", test.path, test.first, test.second, got)
		}
	}
}

func (s hours) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%4s %10s %5s %9s %8s\n", "hour", "goroutines", "files", "heap KiB", "entries")
	for i, h := range s {
		entries := 0
		for _, n := range h.lengths {
			entries += n
		}
		fmt.Fprintf(&b, "%4d %10d %5d %9d %8d\n", i+1, h.goroutines, h.files, h.heap>>10, entries)
	}
	return b.String()
}

// lengths are those of all maps, lists and channels of the agent's own types
// that can be reached from the life, by the types and fields on the way.
func lengths(l *life) map[string]int {
	w := walk{sizes: map[string]int{}, been: map[uintptr]bool{}}
	if racing {
		return w.sizes
	}
	for _, root := range []any{l.core, l.link, l.plan, l.images, l.robot, l.log} {
		w.value(reflect.TypeOf(root).Elem().String(), reflect.ValueOf(root))
	}
	return w.sizes
}

type walk struct {
	sizes map[string]int
	been  map[uintptr]bool
}

const ours = "github.com/robot-platform/robot-ota/agent/"

func (w walk) value(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || w.been[v.Pointer()] || !strings.HasPrefix(v.Type().Elem().PkgPath()+"/", ours) || strings.HasSuffix(v.Type().Elem().PkgPath(), "daytest") {
			return
		}
		w.been[v.Pointer()] = true
		w.value(path, v.Elem())
	case reflect.Interface:
		if !v.IsNil() {
			w.value(path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			w.value(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map, reflect.Slice, reflect.Chan:
		w.sizes[path] += v.Len()
	default:
	}
}
