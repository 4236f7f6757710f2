package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
)

// Bounds of the inhibitors that applications may hold.
const (
	maxInhibitors = 64
	maxLease      = 24 * time.Hour
	maxText       = 200
)

// ErrInhibitor refuses an inhibitor that is not well-formed.
var ErrInhibitor = errors.New("inhibitor refused")

// inhibitors are leases by owner.
type inhibitors struct {
	mu      sync.Mutex
	byOwner map[string]preflight.Inhibitor
}

// Inhibit leases "do not update now" to owner for a time of at most a day; a
// lease of 0 releases it. It holds back what has not taken the line yet.
func (e *Engine) Inhibit(_ context.Context, owner, reason string, lease time.Duration) error {
	owner = strings.TrimSpace(owner)
	switch {
	case owner == "" || len(owner) > maxText || len(reason) > maxText:
		return fmt.Errorf("%w: owner and reason have at most %d bytes, and an owner there must be", ErrInhibitor, maxText)
	case strings.ContainsFunc(owner+reason, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }):
		return fmt.Errorf("%w: owner and reason are printable text", ErrInhibitor)
	case lease < 0 || lease > maxLease:
		return fmt.Errorf("%w: a lease lasts at most %s; renew it", ErrInhibitor, maxLease)
	}
	return e.inhibitors.set(owner, reason, lease, time.Now())
}

func (i *inhibitors) set(owner, reason string, lease time.Duration, now time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.byOwner == nil {
		i.byOwner = make(map[string]preflight.Inhibitor)
	}
	for o, h := range i.byOwner {
		if !now.Before(h.Until) {
			delete(i.byOwner, o)
		}
	}
	if lease == 0 {
		delete(i.byOwner, owner)
		return nil
	}
	before, renewed := i.byOwner[owner]
	if !renewed && len(i.byOwner) >= maxInhibitors {
		return fmt.Errorf("%w: %d are held already", ErrInhibitor, maxInhibitors)
	}
	h := preflight.Inhibitor{Owner: owner, Reason: reason, Since: now, Until: now.Add(lease)}
	if renewed {
		h.Since = before.Since
	}
	i.byOwner[owner] = h
	return nil
}

// held lists those that hold at now, by owner.
func (i *inhibitors) held(now time.Time) []preflight.Inhibitor {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []preflight.Inhibitor
	for _, h := range i.byOwner {
		if now.Before(h.Until) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b preflight.Inhibitor) int { return strings.Compare(a.Owner, b.Owner) })
	return out
}
