// Package api is the update server's HTTP interface to robots. openapi.yaml,
// which it serves, describes it; a test keeps the two equal.
//
//	GET  /v1/check?sku=&version=&robot_id=&companion=  what this robot should have; 204: what it has
//	               [&from=SHA256…]                     and a patch from one of these files, if there is one
//	GET  /v1/artifacts/{sha256}                        the signed file or patch, in ranges where asked for
//	POST /v1/report                                    what a robot without MQTT says of itself
//	GET  /v1/manifest                                  the latest stable release of each SKU
//	GET  /v1/keyring[?after=VERSION]                   the newest keyring document, or the one that comes after a version
//	GET  /v1/tuf/{document}                            release metadata: timestamp.json, N.snapshot.json, N.targets.json, N.root.json
//	GET  /v1/openapi.yaml, /healthz, /readyz
//
// Where there is a keyring document, answers to checks name the newest version
// in the header Robot-OTA-Keyring.
//
// Errors are application/problem+json (RFC 9457).
//
// Parties. A robot is who its client certificate or its bearer token says, and
// never who its query says. With [IdentityRequired] nobody else is told what to
// install and gets images; without it, in a laboratory, others get what is
// stable and are counted by their address. Manifest, keyring and release metadata
// are for everybody: none is secret, and a robot that lost its token still has to
// hear of a stolen key.
//
// Trust. Robots trust the images' signatures, not this server, and this server
// trusts nothing that a request says: every parameter is bounded and checked,
// files are named by hashes that the store holds, and nobody is ever offered
// less than what they say they run.
//
// Caches. An artifact never changes, but may be withdrawn: caches that are
// shared ask again after a minute, and pass the refusal on. The manifest may be
// a minute old (where the server knows its public address). An answer to a
// check is for one robot at one time: no cache may keep it. Release metadata is
// made for caches: what has its version in its name never changes, and of the
// timestamp they ask each time whether it is still the newest.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/origin"
)

// Offers tells what robots should have.
type Offers interface {
	// Offered lists the releases that a robot of that SKU may be offered now,
	// with robot "" those that everybody is.
	Offered(ctx context.Context, sku, robot string) ([]release.Release, error)
	// Checked notes that a robot asked, and which version it was offered; zero: none.
	Checked(ctx context.Context, robot string, offered compat.Version) error
}

// Artifacts holds what is downloaded.
type Artifacts interface {
	Artifact(ctx context.Context, sha256 string) (store.Artifact, error)
	OpenArtifact(ctx context.Context, sha256 string) (io.ReadSeekCloser, error)
}

// Patches knows the patches.
type Patches interface {
	// PatchTo gives the best patch to a signed file from one of those;
	// store.ErrNotFound: there is none.
	PatchTo(ctx context.Context, to string, from []string) (store.Patch, error)
}

// Downloads counts what everybody has had today.
type Downloads interface {
	// Download counts one, unless the taker has had the limit: false.
	Download(ctx context.Context, d store.Download, limit int) (bool, error)
	// Sent adds to the bytes of what was counted.
	Sent(ctx context.Context, taker, sha256 string, bytes int64) error
}

// Robots tells who somebody is; store.ErrNotFound: nobody.
type Robots interface {
	RobotWithToken(ctx context.Context, token string) (store.Robot, error)
	RobotWithCertificate(ctx context.Context, name string) (store.Robot, error)
}

// Keyrings holds keyring documents, of rising versions.
type Keyrings interface {
	Keyrings(ctx context.Context) ([]keyring.Document, error)
	// KeyringVersion is that of the newest; 0: there is none.
	KeyringVersion(ctx context.Context) (uint64, error)
}

// Metadata holds release metadata. It hands on what others have signed.
type Metadata interface {
	// Document of that name; fs.ErrNotExist: there is none.
	Document(ctx context.Context, name string) ([]byte, error)
}

// Reports takes what a robot says of itself. An error with a method
// Refusal() string is about the report: the robot is told that text.
type Reports interface {
	Report(ctx context.Context, robot string, body []byte) error
}

// Health tells whether the server can do its work; nil: it can.
type Health interface {
	Ready(ctx context.Context) error
}

// Metrics hears of every request. The route is one of few.
type Metrics interface {
	Request(route, method string, status int, bytes int64, took time.Duration)
}

// Backends are what the interface stands before. Metadata,
// Reports and Metrics may be nil.
type Backends struct {
	Offers    Offers
	Artifacts Artifacts
	Patches   Patches
	Downloads Downloads
	Robots    Robots
	Keyrings  Keyrings
	Metadata  Metadata
	Health    Health
	Reports   Reports
	Metrics   Metrics
}

// Identity says who is served.
type Identity string

// The choices.
const (
	IdentityRequired Identity = "required"
	IdentityOptional Identity = "optional"
)

// DefaultDownloads is how many downloads a robot has on a day.
const DefaultDownloads = 100

// Config of the interface.
type Config struct {
	// PublicURL is the base address under which robots, or the CDN in front,
	// reach this server; nil: the host that each request names.
	PublicURL *url.URL
	// ArtifactURL is where artifacts lie as well, each under its SHA-256: an
	// object store or a CDN, to which downloads are sent on. nil: they are
	// served from here.
	ArtifactURL *url.URL
	Identity    Identity
	// Downloads that a robot has on a day (UTC), 1 or more.
	Downloads int
	// Proxies are those before it, whose word counts from where robots ask.
	Proxies origin.Proxies
	// Now is the machine's clock.
	Now func() time.Time
}

type api struct {
	Backends
	cfg Config
	log *slog.Logger
}

// New makes the handler.
func New(cfg Config, b Backends, log *slog.Logger) http.Handler {
	a := &api{Backends: b, cfg: cfg, log: log}
	mux := http.NewServeMux()
	for path, h := range map[string]handling{
		"/v1/check":              a.check,
		"/v1/manifest":           a.manifest,
		"/v1/artifacts/{sha256}": a.artifact,
		"/v1/keyring":            a.keyring,
		"/v1/tuf/{document}":     a.metadata,
		"/v1/openapi.yaml":       description,
		"/healthz":               healthz,
		"/readyz":                a.readyz,
	} {
		mux.Handle("GET "+path, a.handler(h))
		mux.Handle(path, a.handler(only("GET, HEAD")))
	}
	mux.Handle("POST /v1/report", a.handler(a.report))
	mux.Handle("/v1/report", a.handler(only("POST")))
	mux.Handle("/", a.handler(notFound))
	return a.logged(mux)
}

// maxBody is the most bytes of a request's body.
const maxBody = 64 << 10

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

func healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, map[string]string{"status": "ok"})
}

func (a *api) readyz(w http.ResponseWriter, r *http.Request) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := a.Health.Ready(ctx); err != nil {
		a.log.Warn("not ready", "err", err)
		return problemf(http.StatusServiceUnavailable, "the store does not answer")
	}
	return healthz(w, r)
}
