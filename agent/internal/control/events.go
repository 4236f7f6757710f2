package control

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// eventEvery is the least time between two lines of the events.
const eventEvery = 100 * time.Millisecond

// events sends the status now and at every change, until the asker goes or the
// agent stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	news, stop := s.engine.News()
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	send := func(st update.Status) error {
		b, err := json.Marshal(st)
		if err != nil {
			return err
		}
		if err := rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
		return rc.Flush()
	}
	if err := stream(r.Context(), s.engine.Status, news, send); err != nil {
		s.log.Debug("control: events ended", "err", err)
	}
}

// stream sends what status says at first and after news, if it has changed. A
// change within eventEvery of the last line is told when that time is over, so
// that the last one always gets through.
func stream(ctx context.Context, status func() update.Status, news <-chan struct{}, send func(update.Status) error) error {
	last := status()
	if err := send(last); err != nil {
		return err
	}
	pause := time.NewTimer(eventEvery)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		pause.Reset(eventEvery)
		now := status()
		if reflect.DeepEqual(now, last) {
			continue
		}
		if err := send(now); err != nil {
			return err
		}
		last = now
	}
}
