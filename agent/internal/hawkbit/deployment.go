package hawkbit

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// handling is how far the server wants a robot to go.
type handling string

const (
	skip    handling = "skip"    // not now
	attempt handling = "attempt" // soft: when it suits the robot
	forced  handling = "forced"
)

// windowShut says that a maintenance window is set at the server, and shut.
const windowShut = "unavailable"

// deployment is GET deploymentBase/{id}.
type deployment struct {
	ID         string `json:"id"`
	Deployment struct {
		Download handling `json:"download"`
		Update   handling `json:"update"`
		Window   string   `json:"maintenanceWindow"` // "": none is set
		Chunks   []chunk  `json:"chunks"`
	} `json:"deployment"`
}

// chunk is a software module.
type chunk struct {
	Version   string     `json:"version"`
	Name      string     `json:"name"`
	Encrypted bool       `json:"encrypted"`
	Artifacts []artifact `json:"artifacts"`
}

// artifact is a file.
type artifact struct {
	Filename string `json:"filename"`
	Size     int64  `json:"size"` // bytes
	Hashes   struct {
		SHA256 string `json:"sha256"` // goosebit has SHA-1 alone
	} `json:"hashes"`
	Links links `json:"_links"`
}

// parseDeployment reads a deployment and checks how it is to be handled; what
// it holds is judged by offer.
func parseDeployment(body []byte, id string) (deployment, error) {
	var d deployment
	if err := read(body, &d); err != nil {
		return deployment{}, err
	}
	if d.ID != id {
		return deployment{}, badAnswer("it is of the deployment %.80q, asked for was %s", d.ID, id)
	}
	for name, h := range map[string]handling{"download": d.Deployment.Download, "update": d.Deployment.Update} {
		if h != skip && h != attempt && h != forced {
			return deployment{}, badAnswer("its %q is %.40q, none of skip, attempt and forced", name, h)
		}
	}
	switch d.Deployment.Window {
	case "", "available", windowShut:
	default:
		return deployment{}, badAnswer("its maintenanceWindow is %.40q, neither available nor unavailable", d.Deployment.Window)
	}
	return d, nil
}

// held says why the image is not to be installed yet; "": it may be.
func (d deployment) held() string {
	switch {
	case d.Deployment.Window == windowShut:
		return fmt.Sprintf("the maintenance window of the server's deployment %s is shut", d.ID)
	case d.Deployment.Update == skip || d.Deployment.Download == skip:
		return fmt.Sprintf("the server wants its deployment %s downloaded, and not installed", d.ID)
	}
	return ""
}

// Codes of deployments that this robot cannot follow.
const (
	codeNoImage  = "no_image"        // there is none among its files
	codeImages   = "several_images"  // or more than one
	codeArtifact = "bad_artifact"    // it cannot be right
	codeURL      = "url_refused"     // it lies where the agent does not ask
	codeOlder    = "older_version"   // than what runs
	codeSealed   = "encrypted_chunk" // the server keeps it encrypted
)

func refuse(code, format string, args ...any) error {
	return &AnswerError{code: code, Reason: fmt.Sprintf(format, args...)}
}

// judge is what an offer is held against.
type judge struct {
	base    *url.URL // relative links are relative to it
	allow   func(*url.URL) error
	maxSize int64          // bytes of a signed file
	running compat.Version // zero: not known
}

// offer finds the one signed image of the deployment. Its error is an
// *AnswerError.
func (j judge) offer(d deployment) (update.Offer, error) {
	c, a, err := d.image()
	if err != nil {
		return update.Offer{}, err
	}
	o := update.Offer{
		SHA256: strings.ToLower(a.Hashes.SHA256), Size: a.Size,
		Release: release(d.ID), Forced: d.Deployment.Update == forced,
	}
	if v, err := compat.ParseVersion(c.Version); err == nil {
		o.Version = v // else it is the module's own count, and says nothing of the firmware
	}
	switch {
	case c.Encrypted:
		return update.Offer{}, refuse(codeSealed, "the software module %.80q is kept encrypted at the server: the agent has no key for it; signed images are no secret", c.Name)
	case o.SHA256 != "" && (len(o.SHA256) != 64 || strings.Trim(o.SHA256, "0123456789abcdef") != ""):
		return update.Offer{}, refuse(codeArtifact, "the SHA-256 of %.80q is not 64 hex digits", a.Filename)
	case o.Size <= image.HeaderSize || o.Size > j.maxSize:
		return update.Offer{}, refuse(codeArtifact, "the size of %.80q is %d bytes, not between %d and %d", a.Filename, o.Size, image.HeaderSize+1, j.maxSize)
	case !o.Version.IsZero() && o.Version.Compare(j.running) < 0:
		return update.Offer{}, refuse(codeOlder, "it offers %v, which is older than the running %v: to go back, use ota-agent rollback or the fleet's rollback command", o.Version, j.running)
	}
	if o.URL, err = j.link(a); err != nil {
		return update.Offer{}, err
	}
	return o, nil
}

// image is the artifact that holds the signed image: the only one there is, or
// the only one that is called so.
func (d deployment) image() (chunk, artifact, error) {
	type file struct {
		chunk
		artifact
	}
	var all, signed []file
	for _, c := range d.Deployment.Chunks {
		for _, a := range c.Artifacts {
			all = append(all, file{c, a})
			if calledSigned(a.Filename) {
				signed = append(signed, file{c, a})
			}
		}
	}
	switch {
	case len(all) == 1:
		return all[0].chunk, all[0].artifact, nil
	case len(signed) == 1:
		return signed[0].chunk, signed[0].artifact, nil
	case len(all) == 0:
		return chunk{}, artifact{}, refuse(codeNoImage, "its deployment %s holds no file", d.ID)
	case len(signed) == 0:
		return chunk{}, artifact{}, refuse(codeNoImage, "none of the %d files of its deployment %s is called …signed or …signed.bin, so none is taken for the image", len(all), d.ID)
	}
	return chunk{}, artifact{}, refuse(codeImages, "its deployment %s holds %d signed images (%.80q, %.80q, …): want one, for this robot's SKU", d.ID, len(signed), signed[0].Filename, signed[1].Filename)
}

// calledSigned: robot-platform-0.2.1.signed, robot-platform-signed.bin.
func calledSigned(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".bin")
	return strings.HasSuffix(name, "signed")
}

// link is where the artifact is fetched. hawkBit calls its https address
// "download", and the other one "download-http".
func (j judge) link(a artifact) (string, error) {
	href := cmp.Or(a.Links["download"].Href, a.Links["download-http"].Href)
	u, err := j.base.Parse(href)
	if err != nil || href == "" || len(href) > update.MaxURL || strings.ContainsFunc(href, odd) {
		return "", refuse(codeArtifact, "there is no link to download %.80q", a.Filename)
	}
	if err := j.allow(u); err != nil {
		return "", refuse(codeURL, "%.80q: %v", a.Filename, err)
	}
	return u.String(), nil
}

func odd(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == ' ' }

// prefix marks the names of actions among those of releases and commands.
const prefix = "hawkbit:"

// release is what an action is called in the engine's memory.
func release(id string) string { return prefix + id }

// actionOf is the action that a job belongs to; "": none.
func actionOf(j update.Job) string {
	if id, ok := strings.CutPrefix(j.Offer.Release, prefix); ok {
		return id
	}
	if id, ok := strings.CutPrefix(j.Request.Command, prefix); ok && j.Request.Origin == update.FromHawkbit {
		return id
	}
	return ""
}
