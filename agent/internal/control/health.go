package control

import (
	"context"
	"net/http"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Health is what only the running agent knows of itself and of what it hears.
type Health struct {
	At      time.Time `json:"at"` // of all ages in it
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	UID     int       `json:"uid"`
	Groups  []int     `json:"groups"`
	Started time.Time `json:"started"`
	// Goroutines that there are, and the bytes of memory that Go's own objects
	// take: what grows over days is a leak.
	Goroutines int    `json:"goroutines"`
	Heap       uint64 `json:"heap_bytes"`
	// Damaged is where a damaged memory was put aside at the start.
	Damaged string `json:"damaged,omitempty"`
	// FoundHeld: the chip and its line were in the agent's hands when it
	// started, so that the one before did not end well.
	FoundHeld bool `json:"found_held,omitempty"`
	// Status is what goes on.
	Status update.Status `json:"status"`
	// Keys are those in force.
	Keys keyring.Report `json:"keys"`
	// Metadata is the release metadata.
	Metadata tuf.Report `json:"metadata,omitzero"`
	// LastCheck is the latest question to the update server.
	LastCheck update.Check `json:"last_check,omitzero"`
	// Watchdog is how often systemd is fed, in seconds, 0: it does not watch;
	// Stuck is why it is not fed.
	Watchdog float64 `json:"watchdog_seconds,omitempty"`
	Stuck    string  `json:"stuck,omitempty"`
	// ROS is what the node hears; nil: this build has none, or it is not up.
	ROS *robot.Hearing `json:"ros,omitempty"`
	// Firmware is its own status as it was heard last; nil: never.
	Firmware *Spoken `json:"firmware,omitempty"`
	Broker   *Broker `json:"broker,omitempty"` // nil: none is configured
	DTLS     *DTLS   `json:"dtls,omitempty"`   // nil: none is configured
}

// Spoken is a DiagnosticStatus.
type Spoken struct {
	At      time.Time         `json:"at"`
	Level   string            `json:"level"`
	Message string            `json:"message"`
	Values  map[string]string `json:"values"`
}

// DTLS is how the handshakes with the firmware's DTLS server go.
type DTLS struct {
	Tries    uint64    `json:"tries"`
	Failures uint64    `json:"failures"`
	Latency  float64   `json:"latency_seconds"` // of the latest that succeeded
	Err      string    `json:"err,omitempty"`   // of the latest, "" where it succeeded
	At       time.Time `json:"at,omitzero"`
}

// Broker is the line to the fleet's broker.
type Broker struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`
	Err       string    `json:"err,omitempty"`
	Waiting   int       `json:"events_waiting"`
}

// Patient can be examined.
type Patient interface {
	Health(ctx context.Context) Health
	// Verify looks through the history. The audit tells what is wrong with
	// it; an error says that it could not be looked at.
	Verify() (update.Audit, error)
	// Visit brings the chip into its loader and back; it restarts.
	Visit(ctx context.Context) (update.Visit, error)
}

// Examine lets p be examined through the server; it is called before Serve.
func (s *Server) Examine(p Patient) { s.patient = p }

// examination are the addresses for that.
func (s *Server) examination(mux *http.ServeMux) {
	if s.patient == nil {
		return
	}
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, s.patient.Health(r.Context()))
	})
	mux.HandleFunc("GET /v1/history/audit", func(w http.ResponseWriter, r *http.Request) {
		a, err := s.patient.Verify()
		s.conclude(w, r, a, err)
	})
	mux.HandleFunc("POST /v1/visit", func(w http.ResponseWriter, r *http.Request) {
		if !s.read(w, r, &struct{}{}) {
			return
		}
		v, err := s.patient.Visit(r.Context())
		s.note(r, "visit the loader", err)
		s.conclude(w, r, v, err)
	})
}

// visitTime is what a visit may take: the hand-over, all attempts at the
// loader, and the boot.
const visitTime = 4 * time.Minute

// Health asks the agent how it is.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return ask[Health](ctx, c, http.MethodGet, "/v1/health", nil, askTime)
}

// Verify lets the agent look through its history.
func (c *Client) Verify(ctx context.Context) (update.Audit, error) {
	return ask[update.Audit](ctx, c, http.MethodGet, "/v1/history/audit", nil, planTime)
}

// Visit brings the chip into its loader and back.
func (c *Client) Visit(ctx context.Context) (update.Visit, error) {
	return ask[update.Visit](ctx, c, http.MethodPost, "/v1/visit", struct{}{}, visitTime)
}
