package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Keys is whose signatures count.
type Keys interface {
	// Report is what is in force.
	Report() keyring.Report
	// Update takes a keyring document; false: it is in force already.
	Update(document []byte, from string) (bool, error)
}

// KeysUpdated answers a keyring document that was taken.
type KeysUpdated struct {
	Changed bool           `json:"changed"` // false: it was in force already
	Keys    keyring.Report `json:"keys"`
}

// WithKeys lets the server tell and change whose signatures count.
func (s *Server) WithKeys(k Keys) *Server {
	s.keys = k
	return s
}

func (s *Server) handleKeys(mux *http.ServeMux) {
	if s.keys == nil {
		return
	}
	mux.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.keys.Report()) })
	mux.HandleFunc("POST /v1/keys", s.updateKeys)
}

// updateKeys takes the document as it is: it is signed over its bytes.
func (s *Server) updateKeys(w http.ResponseWriter, r *http.Request) {
	document, err := s.body(w, r, keyring.MaxDocument)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	changed, err := s.keys.Update(document, fmt.Sprintf("ota-agent keys update, uid %d", peer(r.Context())))
	s.note(r, "update the keys", err, "changed", changed)
	s.conclude(w, r, KeysUpdated{Changed: changed, Keys: s.keys.Report()}, explainKeys(err))
}

// explainKeys keeps the code of a refusal.
func explainKeys(err error) error {
	var coded interface{ Code() string }
	var refused *keyring.Refused
	p := &Problem{Status: http.StatusConflict}
	switch {
	case errors.As(err, &refused):
		p.Code = Code(refused.Code)
	case errors.As(err, &coded):
		p.Code = Code(coded.Code())
	default:
		return err
	}
	p.Detail = err.Error()
	return p
}

// body reads what was sent, within its time and bounds.
func (s *Server) body(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Now().Add(bodyTime)); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("%w: the request is larger than %d bytes", update.ErrRequest, most)
	}
	return body, errors.Join(err, c.SetReadDeadline(time.Time{}))
}

// Keys is whose signatures count.
func (c *Client) Keys(ctx context.Context) (keyring.Report, error) {
	return ask[keyring.Report](ctx, c, http.MethodGet, "/v1/keys", nil, askTime)
}

// UpdateKeys hands a keyring document to the agent.
func (c *Client) UpdateKeys(ctx context.Context, document []byte) (KeysUpdated, error) {
	return ask[KeysUpdated](ctx, c, http.MethodPost, "/v1/keys", raw(document), askTime)
}

// raw is a body that is sent as it is.
type raw []byte
