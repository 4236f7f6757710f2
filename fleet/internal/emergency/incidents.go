package emergency

import (
	"context"
	"fmt"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// An OpenError says what stands between an incident and its end.
type OpenError struct{ Why string }

func (e *OpenError) Error() string { return "it is not over: " + e.Why }

// Note adds a line to an incident's time line, be it open or closed.
func (s *Service) Note(ctx context.Context, by, incident, text string) error {
	text, err := checked(text)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, "note", func(tx *store.Tx) error {
		if _, err := tx.Incident(ctx, incident); err != nil {
			return err
		}
		return note(ctx, tx, incident, by, text)
	})
}

// Close ends an incident, after which nobody follows it any more. One whose
// robots have not all complied, or are not all heard, is an *OpenError, unless
// anyway says why it is over all the same.
func (s *Service) Close(ctx context.Context, by, incident, anyway string) error {
	if anyway != "" {
		var err error
		if anyway, err = checked(anyway); err != nil {
			return err
		}
	} else if err := s.over(ctx, incident); err != nil {
		return err
	}
	return s.store.Update(ctx, "close", func(tx *store.Tx) error {
		if anyway != "" {
			if err := note(ctx, tx, incident, by, "closed although not all is done: "+anyway); err != nil {
				return err
			}
		}
		left, err := tx.Commands(ctx, store.CommandQuery{Incident: incident, Open: true})
		if err != nil {
			return err
		}
		if err := drop(ctx, tx, left); err != nil {
			return err
		}
		return tx.CloseIncident(ctx, incident, by)
	})
}

// over says why an incident is not.
func (s *Service) over(ctx context.Context, incident string) error {
	i, err := s.store.Incident(ctx, incident)
	if err != nil {
		return err
	}
	if i.Kind == KindKeyCompromise {
		return &OpenError{Why: "ota-fleet key compromise done closes it"}
	}
	if err := s.FollowOne(ctx, NoFence, incident); err != nil { // no server may run
		return err
	}
	p, err := s.Progress(ctx, incident)
	switch {
	case err != nil:
		return err
	case !i.Closed.IsZero():
		return nil // closing it says so
	case p.Left > 0:
		return &OpenError{Why: fmt.Sprintf("%d robots have not complied", p.Left)}
	case p.Unheard > 0:
		return &OpenError{Why: fmt.Sprintf("of %d robots nobody knows what they run", p.Unheard)}
	}
	return nil
}
