package config

import (
	"fmt"
	"net/url"

	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Metadata is the fleet's release metadata (TUF): signed lists of what may be
// installed, and until when they count.
type Metadata struct {
	Required bool   `yaml:"required"` // install only what they list
	Root     string `yaml:"root"`     // file of the fleet's root document; absolute
	URL      string `yaml:"url"`      // https, under which they lie; "": v1/tuf under server.url
	// LocalFiles says whether files of this computer have to be listed as well.
	LocalFiles LocalFiles `yaml:"local_files"`
}

// LocalFiles is what has to be so of a local file.
type LocalFiles string

// The choices.
const (
	LocalListed LocalFiles = "listed" // like any other
	LocalAny    LocalFiles = "any"    // its signature is enough
)

func defaultMetadata() Metadata {
	return Metadata{Root: "/etc/robot-ota/root.json", LocalFiles: LocalListed}
}

func (v validator) metadata(m Metadata, source Source) {
	v.absolute("metadata.root", m.Root)
	oneOf(v, "metadata.local_files", m.LocalFiles, LocalListed, LocalAny)
	if m.URL == "" {
		if m.Required && source == SourceHawkbit {
			v.wrong("metadata.url", "is missing: a hawkBit server has no release metadata; name where the fleet's lies, such as https://updates.example.org/v1/tuf")
		}
		return
	}
	if u, err := url.Parse(m.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		v.wrong("metadata.url", "%q is no address: want https://host/path, under which timestamp.json lies", clip(m.URL))
	}
}

// ReadRoot reads the fleet's root document, as the operator gave it.
func (m Metadata) ReadRoot() ([]byte, error) { return bounded.File(m.Root, tuf.MaxRoot) }

// MetadataURL is the address under which release metadata lies.
func (c Config) MetadataURL() (*url.URL, error) {
	if c.Metadata.URL != "" {
		return url.Parse(c.Metadata.URL)
	}
	u, err := url.Parse(c.Server.URL)
	if err != nil {
		return nil, fmt.Errorf("server.url: %w", err)
	}
	return u.JoinPath("v1", "tuf"), nil
}
