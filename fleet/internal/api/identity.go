package api

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/origin"
)

// caller is who sent a request.
type caller struct {
	robot store.Robot // the zero one: nobody knows
	taker string      // by which downloads are counted
}

func (c caller) known() bool { return c.robot.ID != "" }

// maxToken is the most bytes of a bearer token; those of ota-fleet have 43.
const maxToken = 256

// identify tells who sent a request, and has the log know it.
func (a *api) identify(w http.ResponseWriter, r *http.Request) (caller, error) {
	who, err := a.identity(r)
	if rec, ok := w.(*recorder); ok {
		rec.robot = who.robot.ID
	}
	return who, err
}

// identity is by a client certificate that the server's TLS has verified, or by
// a bearer token. Both have to be of the same robot.
func (a *api) identity(r *http.Request) (caller, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return caller{}, err
	}
	var who store.Robot
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		name := r.TLS.VerifiedChains[0][0].Subject.CommonName
		if who, err = a.Robots.RobotWithCertificate(r.Context(), name); errors.Is(err, store.ErrNotFound) {
			return caller{}, problemf(http.StatusForbidden, "no robot is registered with the certificate %.64q; ota-fleet robot add registers it", name)
		}
		if err != nil {
			return caller{}, err
		}
	}
	if token != "" {
		with, err := a.Robots.RobotWithToken(r.Context(), token)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return caller{}, unauthorized("invalid_token", "the bearer token is not valid; ota-fleet robot token gives the robot a new one")
		case err != nil:
			return caller{}, err
		case who.ID != "" && who.ID != with.ID:
			return caller{}, problemf(http.StatusForbidden, "the token and the certificate are of different robots")
		}
		who = with
	}
	switch {
	case who.ID != "":
		return caller{robot: who, taker: who.ID}, nil
	case a.cfg.Identity != IdentityOptional:
		return caller{}, unauthorized("", "say who you are, by a client certificate or a bearer token")
	}
	return caller{taker: a.addressOf(r)}, nil
}

// bearer is the token of a request; "": it has none.
func bearer(h http.Header) (string, error) {
	said := h.Values("Authorization")
	if len(said) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(said[0], " ")
	if len(said) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return "", unauthorized("invalid_request", "Authorization: want one Bearer token")
	}
	return token, nil
}

// addressOf is how somebody is counted whom nobody knows: by the address.
func (a *api) addressOf(r *http.Request) string {
	return "addr:" + cmp.Or(origin.Network(a.cfg.Proxies.Of(r)), "unknown")
}
