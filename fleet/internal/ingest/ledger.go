package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Bounds of a book. An agent that starts every second has had sixteen epochs in
// as many; a message of one before comes too late to count.
const (
	maxEpochs = 8
	maxClosed = 64
)

// book is how far a robot's cumulative counters were counted in, kept as the
// store's ledger, with what else has no place in its state.
type book struct {
	Schema int     `json:"schema"`
	Epochs []count `json:"epochs,omitempty"` // the latest that were heard of, the latest last
	// Closed epochs had their time; nothing of them counts any more.
	Closed []string `json:"closed,omitempty"`
	// Last is the latest moment that was counted up to.
	Last   time.Time `json:"last,omitzero"`
	Online mark      `json:"online,omitzero"`
}

// count is what was counted in of one epoch.
type count struct {
	stamp
	Seconds  float64        `json:"seconds"`
	Counters store.Counters `json:"counters"`
}

// bookSchema is the form of a book.
const bookSchema = 1

// openBook reads one; none is an empty one.
func openBook(l json.RawMessage) (book, error) {
	b := book{Schema: bookSchema}
	if len(l) == 0 {
		return b, nil
	}
	if err := json.Unmarshal(l, &b); err != nil {
		return b, fmt.Errorf("ledger: %w", err)
	}
	if b.Schema != bookSchema {
		return b, fmt.Errorf("ledger of form %d: %w", b.Schema, errForm)
	}
	return b, nil
}

var errForm = fmt.Errorf("this program knows %d", bookSchema)

// health counts in what a message adds to what was counted of its epoch.
func (f *file) health(w healthWord, received time.Time) {
	b := &f.book
	if slices.Contains(b.Closed, w.Epoch) {
		return
	}
	known := count{stamp: stamp{Epoch: w.Epoch}}
	i := slices.IndexFunc(b.Epochs, func(c count) bool { return c.Epoch == w.Epoch })
	if i >= 0 {
		known = b.Epochs[i]
		if w.Seq <= known.Seq {
			return // what it says is in there
		}
		b.Epochs = slices.Delete(b.Epochs, i, i+1)
	}
	b.Epochs = append(b.Epochs, count{stamp: w.stamp, Seconds: w.Seconds, Counters: w.Counters})
	if len(b.Epochs) > maxEpochs {
		b.Closed = append(b.Closed, b.Epochs[0].Epoch)
		b.Closed = b.Closed[max(0, len(b.Closed)-maxClosed):]
		b.Epochs = b.Epochs[1:]
	}
	f.bookChanged = true
	at := moment(w.At, received)
	gap := 0.0
	if !b.Last.IsZero() {
		gap = max(0, at.Sub(b.Last).Seconds())
	}
	b.Last = later(b.Last, at)
	f.count(w.Firmware, at, gap, known, w)
}

// moment is when something happened, by the server's clock as far as that can
// be told: what a robot's clock says is believed where it can be, so that what
// was held back on its way counts where it belongs.
func moment(said, received time.Time) time.Time {
	if said.After(received) || said.Before(received.Add(-maxLate)) {
		return received
	}
	return said.UTC()
}

// maxLate is how long a message may have been held back; of counters, what is
// older when they come is left out.
const maxLate = 7 * 24 * time.Hour

// count puts what a message adds into hours: what goes on all the time in
// equal shares over the time that it was counted in, what happens once into the
// last of them.
func (f *file) count(firmware compat.Version, at time.Time, gap float64, known count, w healthWord) {
	added, ok := difference(w.Counters, known.Counters)
	if !ok || w.Seconds < known.Seconds {
		return // an epoch that counts backwards: from here on
	}
	span := time.Duration(min(maxCounted, w.Seconds-known.Seconds) * float64(time.Second))
	begin := at.Add(-min(span, maxLate))
	for hour := begin.Truncate(time.Hour); !hour.After(at); hour = hour.Add(time.Hour) {
		from, to := later(begin, hour), earlier(at, hour.Add(time.Hour))
		last := !at.After(hour.Add(time.Hour).Add(-time.Nanosecond))
		share := 1.0
		if span > 0 {
			share = float64(to.Sub(from)) / float64(span)
		}
		h := store.Hour{Robot: f.robot.ID, Begin: hour, Firmware: firmware, First: from, Last: to, Counters: part(added, share, last)}
		if last {
			h.First, h.Last, h.Gap = at, at, gap
		}
		f.add(h)
	}
}

// maxCounted is for how long an agent may have counted, in seconds: a century,
// which a time.Duration still holds.
const maxCounted = 100 * 365 * 24 * 3600

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// add merges an hour with what there is of it, so that it is written once.
func (f *file) add(h store.Hour) {
	for i := range f.hours {
		k := &f.hours[i]
		if k.Begin.Equal(h.Begin) && k.Firmware == h.Firmware {
			k.First, k.Last, k.Gap = earlier(k.First, h.First), later(k.Last, h.Last), max(k.Gap, h.Gap)
			k.Counters = sum(k.Counters, h.Counters)
			return
		}
	}
	f.hours = append(f.hours, h)
}

// difference is what is in a and was not in b; false: something became less
// that only grows.
func difference(a, b store.Counters) (store.Counters, bool) {
	d := store.Counters{
		OK: a.OK - b.OK, Warn: a.Warn - b.Warn, Error: a.Error - b.Error, Silent: a.Silent - b.Silent,
		Odometry: a.Odometry - b.Odometry, Diagnostics: a.Diagnostics - b.Diagnostics, Battery: a.Battery - b.Battery,
		Used: a.Used - b.Used, Discharging: a.Discharging - b.Discharging,
		EStops: a.EStops - b.EStops, Reboots: a.Reboots - b.Reboots, Tries: a.Tries - b.Tries, Failures: a.Failures - b.Failures,
	}
	for _, v := range []float64{d.OK, d.Warn, d.Error, d.Silent, d.Odometry, d.Diagnostics, d.Battery, d.Discharging, d.EStops, d.Reboots, d.Tries, d.Failures} {
		if v < 0 {
			return store.Counters{}, false
		}
	}
	return d, true
}

// part is a share of what goes on all the time and, in the last hour, what
// happened once.
func part(c store.Counters, share float64, last bool) store.Counters {
	p := store.Counters{
		OK: share * c.OK, Warn: share * c.Warn, Error: share * c.Error, Silent: share * c.Silent,
		Odometry: share * c.Odometry, Diagnostics: share * c.Diagnostics, Battery: share * c.Battery,
		Used: share * c.Used, Discharging: share * c.Discharging,
	}
	if last {
		p.EStops, p.Reboots, p.Tries, p.Failures = c.EStops, c.Reboots, c.Tries, c.Failures
	}
	return p
}

func sum(a, b store.Counters) store.Counters {
	return store.Counters{
		OK: a.OK + b.OK, Warn: a.Warn + b.Warn, Error: a.Error + b.Error, Silent: a.Silent + b.Silent,
		Odometry: a.Odometry + b.Odometry, Diagnostics: a.Diagnostics + b.Diagnostics, Battery: a.Battery + b.Battery,
		Used: a.Used + b.Used, Discharging: a.Discharging + b.Discharging,
		EStops: a.EStops + b.EStops, Reboots: a.Reboots + b.Reboots, Tries: a.Tries + b.Tries, Failures: a.Failures + b.Failures,
	}
}

func (b book) encode() (json.RawMessage, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return raw, nil
}
