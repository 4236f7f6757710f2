// Package metrics tells Prometheus of the fleet: each figure that it is judged
// by, what goes on, and how the server answers robots.
//
// What the fleet does is read from the store at a scrape, at most once in a few
// seconds; so several servers over one store say the same, and a restart loses
// nothing. Such figures are gauges over a window ("24h", "30d") and not
// counters, as old updates are forgotten. What this server answers is counted.
//
// Labels are bounded: SKUs, windows, results, known codes, the versions that
// most robots run. No label holds a robot's id, and nothing that a robot says
// becomes one without being looked up among what is known.
package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Metrics is what is scraped.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
	requests *prometheus.CounterVec
	refused  prometheus.Counter
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	talk
}

// New makes the metrics of a fleet.
func New(s *store.Store, now func() time.Time, log *slog.Logger) (*Metrics, error) {
	m := &Metrics{
		registry: prometheus.NewRegistry(), log: log, talk: newTalk(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ota_fleet_http_requests_total", Help: "Requests of robots that this server has answered."}, []string{"route", "method", "code"}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "ota_fleet_downloads_refused_total", Help: "Downloads that this server has refused because the robot had its share of the day."}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ota_fleet_http_sent_bytes_total", Help: "Bytes of the answers to robots."}, []string{"route"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ota_fleet_http_request_seconds", Help: "Time to answer a request of a robot, transfer included.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60}}, []string{"route"}),
	}
	for _, c := range append(m.talk.collectors(), m.requests, m.refused, m.bytes, m.seconds, &fleet{store: s, now: now, log: log},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := m.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Request counts one that was answered. The route is one of few.
func (m *Metrics) Request(route, method string, status int, bytes int64, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.bytes.WithLabelValues(route).Add(float64(max(bytes, 0)))
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
	if status == http.StatusTooManyRequests && strings.HasPrefix(route, "/v1/artifacts/") {
		m.refused.Inc()
	}
}

// Handler answers scrapes of /metrics. With a token it answers those alone that
// bring it.
func (m *Metrics) Handler(token string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: patience + 5*time.Second,
	}))
	if token == "" {
		return mux
	}
	want := sha256.Sum256([]byte("Bearer " + token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ota-fleet metrics"`)
			http.Error(w, "a bearer token is wanted: that of --metrics-token-file", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
