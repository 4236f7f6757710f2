// Package api is the update server's HTTP interface to robots.
//
//	GET /v1/check?sku=&version=&robot_id=  what this robot should have; 204: what it has
//	GET /v1/manifest                       the latest release of each SKU
//	GET /v1/artifacts/{sha256}             the signed file, in ranges where asked for
//	GET /v1/keyring[?after=VERSION]        the newest keyring document, or the one that comes after a version
//
// Where there is a keyring document, answers to checks name the newest version
// in the header Robot-OTA-Keyring.
//
// Errors are application/problem+json (RFC 9457).
//
// Trust. Robots trust the images' signatures, not this server, and this server
// trusts nothing that a request says: every parameter is bounded and checked,
// files are named by hashes that the list of releases holds, and nobody is
// ever offered less than what they say they run.
//
// Caches. An artifact never changes, the manifest may be a minute old (where
// the server knows its public address), an answer to a check is for one robot
// at one time: no cache may keep it.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

// Store holds what is served.
type Store interface {
	Releases(ctx context.Context) ([]release.Release, error)
	OpenArtifact(ctx context.Context, sha256 string) (io.ReadSeekCloser, error)
	// Keyrings are keyring documents of rising versions.
	Keyrings(ctx context.Context) ([]keyring.Document, error)
}

// Config of the interface.
type Config struct {
	// PublicURL is the base address under which robots, or the CDN in front,
	// reach this server; nil: the host that each request names.
	PublicURL *url.URL
}

type api struct {
	cfg   Config
	store Store
	log   *slog.Logger
}

// New makes the handler.
func New(cfg Config, store Store, log *slog.Logger) http.Handler {
	a := &api{cfg: cfg, store: store, log: log}
	mux := http.NewServeMux()
	for path, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"/v1/check":              a.check,
		"/v1/manifest":           a.manifest,
		"/v1/artifacts/{sha256}": a.artifact,
		"/v1/keyring":            a.keyring,
	} {
		mux.Handle("GET "+path, a.handler(h))
		mux.Handle(path, a.handler(onlyGET))
	}
	mux.Handle("/", a.handler(notFound))
	return a.logged(mux)
}

// offer is the answer to a check, and an entry of the manifest.
type offer struct {
	Version  compat.Version  `json:"version"`
	URL      string          `json:"url"`
	SHA256   string          `json:"sha256"`
	Size     int64           `json:"size"`
	Protocol compat.Protocol `json:"protocol"`
	Release  string          `json:"release"`
}

func (a *api) offer(r *http.Request, of release.Release) (offer, error) {
	u, err := a.address(r, "v1", "artifacts", of.SHA256)
	return offer{
		Version: of.Version, URL: u, SHA256: of.SHA256, Size: of.Size, Protocol: of.Protocol, Release: of.Name,
	}, err
}

// address is a path of this server as a URL.
func (a *api) address(r *http.Request, path ...string) (string, error) {
	if a.cfg.PublicURL != nil {
		return a.cfg.PublicURL.JoinPath(path...).String(), nil
	}
	u, err := url.Parse("https://" + r.Host)
	if err != nil || u.Host != r.Host || u.Hostname() == "" {
		return "", bad("the Host header %.80q is none", r.Host)
	}
	return u.JoinPath(path...).String(), nil
}

func (a *api) check(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuestion(r.URL.RawQuery)
	if err != nil {
		return err
	}
	all, err := a.store.Releases(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	a.announce(w, r)
	latest, ok := release.Latest(all, q.sku)
	if !ok || latest.Version.Compare(q.version) <= 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	o, err := a.offer(r, latest)
	if err != nil {
		return err
	}
	return writeJSON(w, o)
}

// question is what a check asks.
type question struct {
	sku     string
	version compat.Version
	robot   string // "": it did not say
}

var robotID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseQuestion reads the query of a check. Parameters that are not known are
// passed over, those that are may stand there once.
func parseQuestion(query string) (question, error) {
	if len(query) > 1024 {
		return question{}, bad("the query is longer than 1024 bytes")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return question{}, bad("the query cannot be read")
	}
	var q question
	for _, name := range []string{"sku", "version", "robot_id"} {
		if len(values[name]) > 1 {
			return question{}, bad("%s is given twice", name)
		}
	}
	if q.sku = values.Get("sku"); q.sku == "" {
		return question{}, bad("sku is missing: want one of %s", strings.Join(release.SKUs(), ", "))
	}
	if !release.Known(q.sku) {
		return question{}, problemf(http.StatusNotFound, "unknown sku %.40q: want one of %s", q.sku, strings.Join(release.SKUs(), ", "))
	}
	if q.version, err = compat.ParseVersion(values.Get("version")); err != nil {
		return question{}, bad("version: %v", err)
	}
	if q.robot = values.Get("robot_id"); q.robot != "" && !robotID.MatchString(q.robot) {
		return question{}, bad("robot_id: want 1 to 64 letters, digits, - and _")
	}
	return q, nil
}

func (a *api) manifest(w http.ResponseWriter, r *http.Request) error {
	all, err := a.store.Releases(r.Context())
	if err != nil {
		return err
	}
	latest := map[string]offer{}
	for _, sku := range release.SKUs() {
		if of, ok := release.Latest(all, sku); ok {
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

// stall is how long a robot may take for the next piece of an artifact.
const stall = time.Minute

func (a *api) artifact(w http.ResponseWriter, r *http.Request) error {
	sum := r.PathValue("sha256")
	all, err := a.store.Releases(r.Context())
	if err != nil {
		return err
	}
	missing := problemf(http.StatusNotFound, "no such artifact")
	i := slices.IndexFunc(all, func(of release.Release) bool { return of.SHA256 == sum && of.Live() })
	if i < 0 {
		return missing
	}
	if strings.Contains(r.Header.Get("Range"), ",") || len(r.Header.Values("Range")) > 1 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", all[i].Size))
		return problemf(http.StatusRequestedRangeNotSatisfiable, "one range at a time")
	}
	f, err := a.store.OpenArtifact(r.Context(), sum)
	if err != nil {
		return errors.Join(missing, err) // listed, but gone: the log tells
	}
	defer func() { _ = f.Close() }() // it was only read
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", `"`+sum+`"`)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(&paced{ResponseWriter: w, control: http.NewResponseController(w)}, r, "", all[i].Published, f)
	return nil
}
