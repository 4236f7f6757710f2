package dashboard

import (
	"bytes"
	"errors"
	"net/http"
	"time"
)

// writeIn is how long a browser may take to take what changed.
const writeIn = 10 * time.Second

// live sends the content of a page at once and then whenever it has changed, as
// server-sent events, until the browser or the session ends.
func (d *dashboard) live(of view) http.Handler {
	return d.answering(func(w http.ResponseWriter, r *http.Request, v visit) error {
		select {
		case d.viewers <- struct{}{}:
			defer func() { <-d.viewers }()
		default:
			w.Header().Set("Retry-After", "30")
			return faultf(http.StatusServiceUnavailable, "Too many pages are followed live. This one can be reloaded.")
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // nginx hands it on at once
		s := &stream{w: w, control: http.NewResponseController(w)}
		if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		d.follow(r, v, of, s)
		return nil
	})
}

// follow looks at a page again and again. What goes wrong ends it: the browser
// comes back by itself.
func (d *dashboard) follow(r *http.Request, v visit, of view, s *stream) {
	ticker := time.NewTicker(d.cfg.Refresh)
	defer ticker.Stop()
	for {
		now, err := d.who(r) // following a page does not put the end of the session off
		switch {
		case errors.Is(err, errStranger):
			_ = s.send("end", []byte("logged out")) // or the browser is gone as well
			return
		case err == nil:
			v.user = now.user
			err = d.change(r, v, of, s)
		}
		if err != nil {
			if r.Context().Err() == nil {
				d.log.Info("a page is not followed any more", "path", r.URL.Path, "err", err)
			}
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// change sends the content if it is another than the last.
func (d *dashboard) change(r *http.Request, v visit, of view, s *stream) error {
	p, err := of(r, v)
	if err != nil {
		return err
	}
	content, err := d.content(v, p)
	if err != nil {
		return err
	}
	if bytes.Equal(content, s.last) {
		return s.send("", nil)
	}
	s.last = content
	return s.send("content", content)
}

// stream is server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    []byte
}

// send writes an event; without a name a comment, which finds out whether
// somebody is there.
func (s *stream) send(event string, data []byte) error {
	var out bytes.Buffer
	if event == "" {
		out.WriteString(":\n\n")
	} else {
		out.WriteString("event: " + event + "\n")
		for line := range bytes.Lines(data) {
			out.WriteString("data: ")
			out.Write(bytes.TrimRight(line, "\r\n"))
			out.WriteString("\n")
		}
		out.WriteString("\n")
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(writeIn)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(out.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
