package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Bounds of a scrape.
const (
	fresh    = 5 * time.Second // for so long a reading is used again
	patience = 8 * time.Second // to read the store
)

// fleet reads the store when it is scraped.
type fleet struct {
	store *store.Store
	now   func() time.Time
	log   *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

// Describe names no metric beforehand: which there are depends on the fleet.
func (f *fleet) Describe(chan<- *prometheus.Desc) {}

// Collect gives the reading, a new one if need be.
func (f *fleet) Collect(ch chan<- prometheus.Metric) {
	for _, m := range f.reading() {
		ch <- m
	}
}

func (f *fleet) reading() []prometheus.Metric {
	f.mu.Lock()
	defer f.mu.Unlock()
	if age := f.now().Sub(f.at); f.last != nil && age >= 0 && age < fresh {
		return f.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var r reading
	err := f.store.View(ctx, func(s *store.Reader) error { return r.read(ctx, s, f.now()) })
	up := 1.0
	if err != nil {
		f.log.Warn("metrics: the store is not read", "err", err)
		up, r = 0, reading{} // no figures, rather than half of them
	}
	r.gauge("ota_fleet_store_up", "Whether the store could be read at this scrape.", nil, nil, up)
	f.last, f.at = r.metrics, f.now()
	return f.last
}

// reading collects metrics.
type reading struct{ metrics []prometheus.Metric }

// gauge adds one; help and labels of a name are always the same.
func (r *reading) gauge(name, help string, labels, values []string, v float64) {
	r.metrics = append(r.metrics, prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, v, values...))
}
