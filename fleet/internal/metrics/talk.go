package metrics

import "github.com/prometheus/client_golang/prometheus"

// talk is how this server hears robots.
type talk struct {
	messages  *prometheus.CounterVec
	dropped   prometheus.Counter
	connected prometheus.Gauge
}

func newTalk() talk {
	return talk{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ota_fleet_messages_total",
			Help: "Messages of robots that this server got, by what became of them: taken, passed_over (diagnostics that say nothing new), or why they were refused."}, []string{"kind", "result"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "ota_fleet_messages_dropped_total",
			Help: "Messages of QoS 0 for which this server had no room."}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ota_fleet_broker_connected",
			Help: "1: this server talks to the robots' broker. Of several servers one does."}),
	}
}

func (t talk) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.messages, t.dropped, t.connected}
}

// Messages counts messages of robots. Kinds and results are few.
func (t talk) Messages(kind, result string, n int) {
	t.messages.WithLabelValues(kind, result).Add(float64(n))
}

// Dropped counts messages for which there was no room.
func (t talk) Dropped(n int) { t.dropped.Add(float64(n)) }

// Connected says whether this server talks to the broker.
func (t talk) Connected(yes bool) {
	if yes {
		t.connected.Set(1)
		return
	}
	t.connected.Set(0)
}
