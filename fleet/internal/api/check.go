package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// offer is the answer to a check, and an entry of the manifest.
type offer struct {
	Version  compat.Version  `json:"version"`
	URL      string          `json:"url"`
	SHA256   string          `json:"sha256"`
	Size     int64           `json:"size"`
	Protocol compat.Protocol `json:"protocol"`
	Release  string          `json:"release"`
	// Patch is told to who asks for one, and to nobody else: agents of before
	// know no such field.
	Patch *patch `json:"patch,omitempty"`
}

// patch makes the offered file of one that the robot keeps.
type patch struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	From   string `json:"from_sha256"`
}

func (a *api) offer(r *http.Request, of release.Release) (offer, error) {
	u, err := a.address(r, "v1", "artifacts", of.SHA256)
	return offer{
		Version: of.Version, URL: u, SHA256: of.SHA256, Size: of.Size, Protocol: of.Protocol, Release: of.Name,
	}, err
}

func (a *api) check(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	q, err := parseQuestion(r.URL.RawQuery)
	if err != nil {
		return err
	}
	who, err := a.identify(w, r)
	if err != nil {
		return err
	}
	robot, err := who.asking(q)
	if err != nil {
		return err
	}
	offered, err := a.Offers.Offered(r.Context(), robot.SKU, robot.ID)
	if err != nil {
		return err
	}
	a.announce(w, r)
	choice, ok := release.Choose(offered, robot)
	if robot.ID != "" {
		if err := a.Offers.Checked(r.Context(), robot.ID, choice.Version); err != nil {
			a.log.Warn("the check is not noted", "robot", robot.ID, "err", err) // the robot gets its answer all the same
		}
	}
	if !ok {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	o, err := a.offer(r, choice)
	if err != nil {
		return err
	}
	o.Patch = a.patch(r, o, q.from)
	return writeJSON(w, o)
}

// patch is one to the offered file; nil where there is none, or where the store
// cannot say so: the robot takes the whole file then.
func (a *api) patch(r *http.Request, o offer, from []string) *patch {
	if len(from) == 0 {
		return nil
	}
	p, err := a.Patches.PatchTo(r.Context(), o.SHA256, from)
	if err == nil {
		var u string
		if u, err = a.address(r, "v1", "artifacts", p.SHA256); err == nil {
			return &patch{URL: u, SHA256: p.SHA256, Size: p.Size, From: p.From}
		}
	}
	if !errors.Is(err, store.ErrNotFound) {
		a.log.Warn("no patch is offered", "err", err)
	}
	return nil
}

// asking is the robot for which an answer is sought.
func (c caller) asking(q question) (release.Robot, error) {
	robot := release.Robot{SKU: q.sku, Running: q.version, Companion: q.companion}
	if !c.known() {
		return robot, nil // whatever it calls itself
	}
	switch {
	case q.robot != "" && q.robot != c.robot.ID:
		return release.Robot{}, problemf(http.StatusForbidden, "robot_id is %.64q, the certificate or token is of another robot", q.robot)
	case q.sku != c.robot.SKU:
		return release.Robot{}, problemf(http.StatusForbidden, "sku is %.40q, but this robot is registered as %s", q.sku, c.robot.SKU)
	}
	robot.ID = c.robot.ID
	if robot.Companion.IsZero() {
		robot.Companion = c.robot.CompanionVersion()
	}
	return robot, nil
}

// question is what a check asks.
type question struct {
	sku       string
	version   compat.Version
	robot     string         // "": it did not say
	companion compat.Version // zero: it did not say
	from      []string       // SHA-256 of the files that it could start from
}

// maxFrom is how many of them are looked at.
const maxFrom = 4

// maxQuery is the most bytes of a query.
const maxQuery = 1024

// parseQuestion reads the query of a check. Parameters that are not known are
// passed over, those that are may stand there once, but for from.
func parseQuestion(query string) (question, error) {
	if len(query) > maxQuery {
		return question{}, bad("the query is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return question{}, bad("the query cannot be read")
	}
	for _, name := range []string{"sku", "version", "robot_id", "companion"} {
		if len(values[name]) > 1 {
			return question{}, bad("%s is given twice", name)
		}
	}
	var q question
	if q.sku = values.Get("sku"); q.sku == "" {
		return question{}, bad("sku is missing: want one of %s", strings.Join(release.SKUs(), ", "))
	}
	if !release.Known(q.sku) {
		return question{}, problemf(http.StatusNotFound, "unknown sku %.40q: want one of %s", q.sku, strings.Join(release.SKUs(), ", "))
	}
	if q.version, err = compat.ParseVersion(values.Get("version")); err != nil {
		return question{}, bad("version: %v", err)
	}
	if q.robot = values.Get("robot_id"); q.robot != "" && !store.IsRobotID(q.robot) {
		return question{}, bad("robot_id: want 1 to 64 letters, digits, - and _")
	}
	if said := values.Get("companion"); said != "" {
		if q.companion, err = compat.ParseVersion(said); err != nil {
			return question{}, bad("companion: %v", err)
		}
	}
	if q.from = values["from"]; len(q.from) > maxFrom {
		return question{}, bad("from is given %d times, at most %d are looked at", len(q.from), maxFrom)
	}
	for _, sum := range q.from {
		if !release.IsDigest(sum) {
			return question{}, bad("from: want a SHA-256, 64 lower-case hex digits")
		}
	}
	return q, nil
}

func (a *api) manifest(w http.ResponseWriter, r *http.Request) error {
	latest := map[string]offer{}
	for _, sku := range release.SKUs() {
		offered, err := a.Offers.Offered(r.Context(), sku, "")
		if err != nil {
			return err
		}
		if of, ok := release.Latest(offered, sku); ok {
			if latest[sku], err = a.offer(r, of); err != nil {
				return err
			}
		}
	}
	// Made with the requester's Host header it is for the requester alone.
	if a.cfg.PublicURL != nil {
		w.Header().Set("Cache-Control", "public, max-age=60")
	} else {
		w.Header().Set("Cache-Control", "no-store")
	}
	return writeJSON(w, map[string]any{"skus": latest})
}
