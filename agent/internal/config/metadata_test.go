package config

import (
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	for _, tt := range []struct{ section, want string }{
		{"{required: true}", ""},
		{"{required: true, root: /etc/r.json, url: 'https://cdn.example.org/tuf', local_files: any}", ""},
		{"{required: yes-please}", "metadata.required: want true or false"},
		{"{root: root.json}", `metadata.root: "root.json": want an absolute path`},
		{"{url: 'http://cdn.example.org'}", `metadata.url: "http://cdn.example.org" is no address: want https`},
		{"{url: 'https://u:p@cdn.example.org'}", "metadata.url"},
		{"{required: true}\nserver: {source: hawkbit}", "metadata.url: is missing: a hawkBit server has no release metadata"},
		{"{required: true, url: 'https://cdn.example.org/tuf'}\nserver: {source: hawkbit}", ""},
		{"{local_files: all}", `metadata.local_files: "all" is none of listed, any`},
	} {
		c, err := Parse("agent.yaml", []byte(least+"metadata: "+tt.section+"\n"))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.section, err, tt.want)
		}
		if err != nil {
			continue
		}
		want := "https://updates.robot-platform.org/v1/tuf"
		if c.Metadata.URL != "" {
			want = c.Metadata.URL
		}
		if u, err := c.MetadataURL(); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", tt.section, u, err)
		}
	}
	if c, err := Parse("agent.yaml", []byte(least)); err != nil || c.Metadata.Required {
		t.Errorf("a configuration of before: %+v, %v", c.Metadata, err)
	}
}
