package ingest

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// robots is the fleet of the benchmark.
const robots = 10_000

// minute is what a robot says in a minute: how it is, and what was counted.
func minute(robot, n int, at time.Time) []Message {
	id := fmt.Sprintf("robot-%05d", robot)
	status := fmt.Sprintf(`{"state":"observing","since":%q,"job_id":"job-1","kind":"update","running":{"slot":"ota_0","version":"0.2.1","app_sha256":"aa11"},`+
		`"target":"0.2.1","progress":0,"message":"%d","companion":"0.2.0","protocol":1,"robot_id":%q,"sku":"standard","agent":"1.4.0","at":%q,"epoch":"e","seq":%d}`,
		at.Format(time.RFC3339), n, id, at.Format(time.RFC3339), n)
	health := fmt.Sprintf(`{"schema":1,"robot_id":%q,"sku":"standard","firmware":"0.2.1","epoch":"h","seq":%d,"at":%q,"seconds":%d,`+
		`"counters":{"ok":%d,"warn":0,"error":0,"silent":0,"odometry":%d,"diagnostics":%d,"battery":%d,"used":0.1,"discharging":%d,"estops":0,"reboots":0,"tries":%d,"failures":0}}`,
		id, n, at.Format(time.RFC3339), 60*n, n, 3000*n, 120*n, 60*n, 60*n, 2*n)
	return []Message{
		{Robot: id, Kind: Status, Payload: []byte(status), Received: at},
		{Robot: id, Kind: Health, Payload: []byte(health), Received: at},
	}
}

// BenchmarkTake takes in what 10,000 robots say, in batches as they come from a
// broker. One operation is one robot's minute: two messages.
func BenchmarkTake(b *testing.B) {
	for name, fresh := range map[string]func(testing.TB) storetest.Env{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		for _, batch := range []int{10, 128} { // robots
			b.Run(fmt.Sprintf("%s/%d", name, 2*batch), func(b *testing.B) {
				env := fresh(b)
				s := env.Open(b)
				err := s.Update(b.Context(), "fill", func(tx *store.Tx) error {
					for i := range robots {
						if err := tx.AddRobot(b.Context(), store.Robot{ID: fmt.Sprintf("robot-%05d", i), SKU: "standard"}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				in := New(Config{Now: env.Clock.Now}, s, slog.New(slog.DiscardHandler))
				at := env.Clock.Now()
				b.ResetTimer()
				var messages []Message
				for i := range b.N {
					messages = append(messages, minute(i%robots, 1+i/robots, at.Add(time.Duration(i/robots)*time.Minute))...)
					if len(messages) < 2*batch && i < b.N-1 {
						continue
					}
					if err := in.Take(b.Context(), messages); err != nil {
						b.Fatal(err)
					}
					messages = messages[:0]
				}
				b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}
