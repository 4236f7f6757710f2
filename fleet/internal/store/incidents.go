package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Incident is something that went wrong, and what was done about it.
type Incident struct {
	ID       string         `json:"id"`
	Kind     string         `json:"kind"` // such as halt, rollback, key_compromise
	Title    string         `json:"title"`
	Version  compat.Version `json:"version,omitzero"` // of the firmware that it is about
	SKUs     []string       `json:"skus,omitempty"`
	Opened   time.Time      `json:"opened"`
	OpenedBy string         `json:"opened_by"`
	Reason   string         `json:"reason"`
	Closed   time.Time      `json:"closed,omitzero"`
	ClosedBy string         `json:"closed_by,omitempty"`
	// Data is what its kind keeps.
	Data json.RawMessage `json:"data,omitempty"`
}

// Entry is one of an incident's time line. Entries are added and never changed.
type Entry struct {
	Incident string          `json:"incident"`
	Number   int64           `json:"number"`
	At       time.Time       `json:"at"`
	By       string          `json:"by,omitempty"`
	Text     string          `json:"text"`
	Data     json.RawMessage `json:"data,omitempty"`
}

const incidentColumns = `id, kind, title, version, skus, opened, opened_by, reason, closed, closed_by, data`

func scanIncident(from row) (Incident, error) {
	var i Incident
	err := from.Scan(&i.ID, &i.Kind, &i.Title, text{&i.Version}, document{&i.SKUs}, moment{&i.Opened}, &i.OpenedBy, &i.Reason, moment{&i.Closed}, &i.ClosedBy, raw{&i.Data})
	return i, err
}

// OpenIncident stores a new incident. One that is there already stays as it
// is; false says so.
func (tx *Tx) OpenIncident(ctx context.Context, i Incident) (bool, error) {
	skus, err := encoded(append([]string{}, i.SKUs...))
	if err != nil {
		return false, err
	}
	n, err := changed(ctx, tx.q, `INSERT INTO incidents (id, kind, title, version, skus, opened, opened_by, reason, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO NOTHING`, i.ID, i.Kind, i.Title, versionText(i.Version), skus, stamp(tx.now()), i.OpenedBy, i.Reason, string(i.Data))
	return n > 0, err
}

// AddEntry adds to an incident's time line and gives the entry with its number.
func (tx *Tx) AddEntry(ctx context.Context, e Entry) (Entry, error) {
	last, err := number(ctx, tx.q, `SELECT COALESCE(max(number), 0) FROM incident_entries WHERE incident_id = $1`, e.Incident)
	if err != nil {
		return Entry{}, err
	}
	e.Number, e.At = last+1, tx.now().UTC()
	return e, exec(ctx, tx.q, `INSERT INTO incident_entries (incident_id, number, at, by_whom, text, data) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.Incident, e.Number, stamp(e.At), e.By, e.Text, string(e.Data))
}

// SetIncidentData replaces what an incident's kind keeps.
func (tx *Tx) SetIncidentData(ctx context.Context, id string, data json.RawMessage) error {
	return only(ctx, tx.q, `UPDATE incidents SET data = $2 WHERE id = $1`, id, string(data))
}

// CloseIncident notes that an incident is over. ErrConflict: it was closed before.
func (tx *Tx) CloseIncident(ctx context.Context, id, by string) error {
	n, err := changed(ctx, tx.q, `UPDATE incidents SET closed = $2, closed_by = $3 WHERE id = $1 AND closed = 0`, id, stamp(tx.now()), by)
	if err != nil || n > 0 {
		return err
	}
	if _, err := tx.Incident(ctx, id); err != nil {
		return err
	}
	return fmt.Errorf("incident %s is closed: %w", id, ErrConflict)
}

// Incidents lists incidents, the newest first; open ones only, where asked for.
func (r *Reader) Incidents(ctx context.Context, open bool) ([]Incident, error) {
	out, err := all(ctx, r.q, scanIncident, `SELECT `+incidentColumns+` FROM incidents WHERE NOT $1 OR closed = 0 ORDER BY opened DESC, id`, open)
	if err != nil {
		return nil, fmt.Errorf("store: incidents: %w", err)
	}
	return out, nil
}

// Incident finds one by its id.
func (r *Reader) Incident(ctx context.Context, id string) (Incident, error) {
	out, err := one(ctx, r.q, scanIncident, `SELECT `+incidentColumns+` FROM incidents WHERE id = $1`, id)
	if err != nil {
		return Incident{}, fmt.Errorf("store: incident %.64q: %w", id, err)
	}
	return out, nil
}

// Entries is an incident's time line.
func (r *Reader) Entries(ctx context.Context, incident string) ([]Entry, error) {
	out, err := all(ctx, r.q, func(from row) (Entry, error) {
		var e Entry
		err := from.Scan(&e.Incident, &e.Number, moment{&e.At}, &e.By, &e.Text, raw{&e.Data})
		return e, err
	}, `SELECT incident_id, number, at, by_whom, text, data FROM incident_entries WHERE incident_id = $1 ORDER BY number`, incident)
	if err != nil {
		return nil, fmt.Errorf("store: time line of incident %.64q: %w", incident, err)
	}
	return out, nil
}
