package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// maxBody bounds what a command may send, in bytes.
const maxBody = 16 << 10

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, s.engine.Status())
}

func (s *Server) trigger(w http.ResponseWriter, r *http.Request) {
	var t Trigger
	if !s.read(w, r, &t) {
		return
	}
	s.start(w, r, t)
}

func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	if s.read(w, r, &struct{}{}) {
		s.start(w, r, Trigger{})
	}
}

func (s *Server) start(w http.ResponseWriter, r *http.Request, t Trigger) {
	req, err := t.request()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	id, err := s.engine.Trigger(r.Context(), req)
	s.note(r, "trigger", err, "url", req.URL, "version", req.Version, "force", req.Force, "any_time", req.AnyTime, "job", id)
	s.conclude(w, r, Started{JobID: id}, err)
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	var t Trigger
	if !s.read(w, r, &t) {
		return
	}
	req, err := t.request()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	p, err := s.engine.Plan(r.Context(), req)
	if err != nil && !errors.Is(err, update.ErrRequest) && r.Context().Err() == nil {
		err = &Problem{Status: http.StatusBadGateway, Code: Unanswered, Detail: err.Error()}
	}
	s.conclude(w, r, p, err)
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) {
	if !s.read(w, r, &struct{}{}) {
		return
	}
	err := s.engine.Cancel(r.Context())
	s.note(r, "cancel", err)
	s.conclude(w, r, struct{}{}, err)
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) {
	var b Rollback
	if !s.read(w, r, &b) {
		return
	}
	if err := b.validate(); err != nil {
		s.refuse(w, r, err)
		return
	}
	id, err := s.engine.Rollback(r.Context(), b.Reason, update.FromCLI)
	s.note(r, "rollback", err, "reason", b.Reason, "job", id)
	s.conclude(w, r, Started{JobID: id}, err)
}

func (s *Server) inhibit(w http.ResponseWriter, r *http.Request) {
	var i Inhibit
	if !s.read(w, r, &i) {
		return
	}
	err := i.validate()
	if err == nil {
		err = s.engine.Inhibit(r.Context(), i.Owner, i.Reason, time.Duration(i.Seconds)*time.Second)
		s.note(r, "inhibit", err, "owner", i.Owner, "reason", i.Reason, "seconds", i.Seconds)
	}
	s.conclude(w, r, struct{}{}, err)
}

func (s *Server) past(w http.ResponseWriter, r *http.Request) {
	n := 0
	if q := r.URL.Query().Get("n"); q != "" {
		var err error
		if n, err = strconv.Atoi(q); err != nil || n < 0 {
			s.refuse(w, r, fmt.Errorf("%w: n must be a number from 0, not %q", update.ErrRequest, q))
			return
		}
	}
	records, err := s.history.History(n)
	if records == nil {
		records = []update.Record{} // [] and not null
	}
	s.conclude(w, r, records, err)
}

// note logs a command and who gave it.
func (s *Server) note(r *http.Request, command string, err error, args ...any) {
	args = append(args, "uid", peer(r.Context()))
	if err != nil {
		s.log.InfoContext(r.Context(), "control: refused to "+command, append(args, "err", err)...)
		return
	}
	s.log.InfoContext(r.Context(), "control: "+command, args...)
}

// read decodes the body strictly; an empty one is {}. On false the refusal has
// been told.
func (s *Server) read(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := s.body(w, r, maxBody)
	if err != nil {
		s.refuse(w, r, err)
		return false
	}
	if err := decodeStrict(body, into); err != nil {
		s.refuse(w, r, fmt.Errorf("%w: %w", update.ErrRequest, err))
		return false
	}
	return true
}

func (s *Server) conclude(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.answer(w, v)
}

func (s *Server) answer(w http.ResponseWriter, v any) {
	s.write(w, "application/json", http.StatusOK, v)
}

func (s *Server) write(w http.ResponseWriter, kind string, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a NaN that got into the status, say
		s.log.Error("control: an answer cannot be written as JSON", "err", err)
		http.Error(w, "the agent's answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	if _, err := w.Write(append(b, '\n')); err != nil {
		s.log.Debug("control: the asker has gone", "err", err)
	}
}

// refuse tells an error.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.tell(w, problemOf(r.Context(), err))
}

func (s *Server) tell(w http.ResponseWriter, p *Problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	s.write(w, "application/problem+json", p.Status, p)
}

// problemOf finds the code of an error.
func problemOf(ctx context.Context, err error) *Problem {
	var (
		ready *Problem
		busy  *update.BusyError
	)
	p := &Problem{Status: http.StatusConflict, Detail: err.Error()}
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &busy):
		p.Code, p.JobID, p.State = Busy, busy.JobID, busy.State
	case errors.Is(err, update.ErrTooLate):
		p.Code = TooLate
	case errors.Is(err, update.ErrNothingToCancel):
		p.Code = NothingToCancel
	case errors.Is(err, update.ErrNothingToRollBack):
		p.Code = NothingToRollBack
	case errors.Is(err, update.ErrRequest):
		p.Status, p.Code = http.StatusBadRequest, BadRequest
	case ctx.Err() != nil:
		p.Status, p.Code, p.Detail = http.StatusServiceUnavailable, Stopping, "the agent is stopping"
	default:
		p.Code = Refused
	}
	return p
}
