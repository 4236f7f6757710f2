package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// metaSchema is the version of the meta file's form.
const metaSchema = 1

// maxMeta bounds the meta file in bytes.
const maxMeta = 16 << 10

// meta says what a part file holds.
type meta struct {
	Schema int    `json:"schema"`
	URL    string `json:"url"`
	ETag   string `json:"etag,omitempty"`   // strong, as received
	SHA256 string `json:"sha256,omitempty"` // that the whole must have, as offered
	Size   int64  `json:"size"`             // bytes of the whole
	Held   int64  `json:"held"`             // bytes at the beginning that were synced
	Prefix string `json:"prefix"`           // their SHA-256
}

var errMeta = errors.New("the record of a partial download makes no sense")

// parseMeta reads a meta file and checks all that can be checked without the
// part file.
func parseMeta(b []byte) (meta, error) {
	var m meta
	if len(b) > maxMeta {
		return meta{}, errMeta
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return meta{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	switch {
	case m.Schema != metaSchema,
		m.URL == "",
		m.ETag != strong(m.ETag),
		m.SHA256 != "" && !isSHA256(m.SHA256),
		m.Size <= 0 || m.Held < 0 || m.Held > m.Size,
		!isSHA256(m.Prefix):
		return meta{}, errMeta
	}
	return m, nil
}

func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
