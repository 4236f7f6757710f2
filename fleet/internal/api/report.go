package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
)

// report hands on what a robot without MQTT says of itself. Only a robot that
// is known can say something of itself.
func (a *api) report(w http.ResponseWriter, r *http.Request) error {
	who, err := a.identify(w, r)
	switch {
	case err != nil:
		return err
	case !who.known():
		return unauthorized("", "a report is of a robot: say which, by a client certificate or a bearer token")
	case a.Reports == nil:
		return problemf(http.StatusServiceUnavailable, "this server takes no reports")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problemf(http.StatusUnsupportedMediaType, "want application/json")
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problemf(http.StatusRequestEntityTooLarge, "a report has at most %d bytes", maxBody)
	case err != nil:
		return errors.Join(bad("the report was cut"), err)
	}
	if err := a.Reports.Report(r.Context(), who.robot.ID, body); err != nil {
		var refusal interface{ Refusal() string }
		if errors.As(err, &refusal) {
			return problemf(http.StatusUnprocessableEntity, "%s", clip(refusal.Refusal(), 500))
		}
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
