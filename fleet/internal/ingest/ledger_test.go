package ingest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// noon is when nothing has been counted yet.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// counted is a message of an epoch after so many minutes, all of them good, with
// 50 messages of odometry a second.
func counted(epoch string, seq uint64, at time.Time, minutes float64) healthWord {
	return healthWord{stamp: stamp{epoch, seq}, Schema: 1, Firmware: version("0.2.1"), At: at, Seconds: 60 * minutes,
		Counters: store.Counters{OK: minutes, Odometry: 3000 * minutes}}
}

func minutes(f *file) float64 {
	var n float64
	for _, h := range f.hours {
		n += h.OK
	}
	return math.Round(n*1e6) / 1e6
}

func after(d time.Duration) time.Time { return noon.Add(d) }

func TestLedger(t *testing.T) {
	type words []healthWord
	late := after(time.Hour)
	for name, tt := range map[string]struct {
		words words
		want  float64
	}{
		"nothing":                    {nil, 0},
		"one":                        {words{counted("a", 1, noon, 5)}, 5},
		"two":                        {words{counted("a", 1, noon, 5), counted("a", 2, noon, 6)}, 6},
		"a copy":                     {words{counted("a", 1, noon, 5), counted("a", 1, noon, 5)}, 5},
		"one lost":                   {words{counted("a", 1, noon, 5), counted("a", 9, noon, 50)}, 50},
		"the wrong way round":        {words{counted("a", 2, noon, 6), counted("a", 1, noon, 5)}, 6},
		"another epoch":              {words{counted("a", 1, noon, 5), counted("b", 1, noon, 3)}, 8},
		"the earlier one comes late": {words{counted("b", 1, noon, 3), counted("a", 1, noon, 5), counted("b", 2, noon, 4)}, 9},
		"backwards":                  {words{counted("a", 1, noon, 5), counted("a", 2, noon, 2), counted("a", 3, noon, 4)}, 7}, // 5, then from 2 to 4
		"less time":                  {words{counted("a", 1, noon, 5), {stamp: stamp{"a", 2}, At: noon, Seconds: 60, Counters: store.Counters{OK: 7, Odometry: 15000}}}, 5},
		"a clock from 1970":          {words{counted("a", 1, time.Unix(60, 0), 5), counted("a", 2, noon, 6)}, 6},
		"a clock ahead":              {words{counted("a", 1, after(1000*time.Hour), 5), counted("a", 2, noon, 6)}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			f := &file{}
			for _, w := range tt.words {
				f.health(w, late)
			}
			if got := minutes(f); got != tt.want {
				t.Errorf("%v minutes, want %v: %+v", got, tt.want, f.hours)
			}
			for _, h := range f.hours {
				if h.Begin.After(late) || h.Last.After(late) || h.Begin != h.Begin.Truncate(time.Hour) {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}

// What is told at once is spread over the hours in which it was counted; what
// happened once is not cut into pieces.
func TestSpread(t *testing.T) {
	f := &file{}
	w := counted("a", 1, after(90*time.Minute), 150)
	w.Counters.EStops, w.Counters.Tries = 1, 7
	f.health(w, after(2*time.Hour))
	want := []store.Counters{{OK: 60, Odometry: 180000}, {OK: 60, Odometry: 180000}, {OK: 30, Odometry: 90000, EStops: 1, Tries: 7}}
	if len(f.hours) != len(want) {
		t.Fatalf("%+v", f.hours)
	}
	for i, h := range f.hours {
		if begin := after(time.Duration(i-1) * time.Hour); h.Begin != begin || h.Counters != want[i] {
			t.Errorf("%d: %+v", i, h)
		}
	}
}

// A word on the stroke of the hour is one of the hour that begins.
func TestStroke(t *testing.T) {
	f := &file{}
	w := counted("a", 1, noon, 10)
	w.Counters.Reboots = 1
	f.health(w, noon)
	if len(f.hours) != 2 || f.hours[0].OK != 10 || f.hours[1].OK != 0 || f.hours[1].Reboots != 1 || f.hours[1].First != noon {
		t.Errorf("%+v", f.hours)
	}
}

func TestGap(t *testing.T) {
	f := &file{}
	for i, at := range []time.Duration{0, time.Minute, 21 * time.Minute, 22 * time.Minute, 20 * time.Minute} {
		f.health(counted("a", uint64(i+1), after(at), at.Minutes()), after(at))
	}
	if h := f.hours[0]; h.Gap != 1200 || h.First != noon || h.Last != after(22*time.Minute) {
		t.Errorf("%+v", f.hours)
	}
}

// What a firmware did counts for that firmware, also in the same hour.
func TestFirmwareChanges(t *testing.T) {
	f := &file{}
	old := counted("a", 1, after(10*time.Minute), 10)
	old.Firmware = version("0.2.0")
	for _, w := range []healthWord{old, counted("b", 1, after(15*time.Minute), 5)} {
		f.health(w, after(time.Hour-1))
	}
	if len(f.hours) != 2 || f.hours[0].Firmware != version("0.2.0") || f.hours[0].OK != 10 || f.hours[1].Firmware != version("0.2.1") || f.hours[1].OK != 5 {
		t.Errorf("%+v", f.hours)
	}
}

// An agent that starts again and again does not make the book grow, and what is
// out of it does not count again.
func TestManyEpochs(t *testing.T) {
	f := &file{book: book{Schema: bookSchema}}
	for i := range 500 {
		f.health(counted(fmt.Sprint("e", i), 1, noon, 1), noon)
	}
	if n := minutes(f); n != 500 {
		t.Errorf("%v minutes", n)
	}
	for i := 500 - maxEpochs - maxClosed; i < 500; i++ {
		f.health(counted(fmt.Sprint("e", i), 1, noon, 1), noon)
	}
	raw, err := f.book.encode()
	if err != nil || minutes(f) != 500 || len(raw) > 8<<10 {
		t.Errorf("%v minutes, a book of %d bytes, %v", minutes(f), len(raw), err)
	}
	if b, err := openBook(raw); err != nil || len(b.Epochs) != maxEpochs || len(b.Closed) != maxClosed {
		t.Errorf("%+v, %v", b, err)
	}
}

// A robot that counted for a year fills no more hours than are looked at.
func TestYear(t *testing.T) {
	f := &file{}
	f.health(counted("a", 1, noon, 365*24*60), noon)
	if len(f.hours) != 7*24+1 || minutes(f) != 7*24*60 {
		t.Errorf("%d hours with %v minutes", len(f.hours), minutes(f))
	}
}
