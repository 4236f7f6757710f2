package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 256 << 10

// Load reads, decodes and validates the file. Errors: ErrNoFile where there is
// none, what the system says where it cannot be read, and Problems, which name
// the faults in it. It opens no file that the configuration names: see
// Config.Keyring.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%s: %w: copy the example %s there, or name another by --config", path, ErrNoFile, Example)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse decodes and validates the content of a file of that name. The error is
// Problems.
func Parse(name string, data []byte) (Config, error) {
	d := decoder{file: name, at: make(map[string]place)}
	c := Default()
	if !d.document(data, &c) {
		return Config{}, sorted(d.problems) // one fault, not one for each key that could not be read
	}
	if _, said := d.at["microros.unit"]; !said && (c.MicroROS.Stop != nil || c.MicroROS.Start != nil) {
		c.MicroROS.Unit = "" // commands take the place of the default unit
	}
	v := validator{decoder: &d}
	v.config(c)
	if err := sorted(d.problems); err != nil {
		return Config{}, err
	}
	return c, nil
}

// document decodes the file; false: it is no YAML document at all.
func (d *decoder) document(data []byte, into *Config) bool {
	if len(data) > maxFile {
		d.fault(place{}, "", "is larger than %s: this is no configuration of an agent", Size(maxFile))
		return false
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var y yaml.Error
		if errors.As(err, &y) {
			d.fault(placeOf(y.GetToken()), "", "this is not YAML: %s", y.GetMessage())
		} else {
			d.fault(place{}, "", "this is not YAML: %v", err)
		}
		return false
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
	case 1:
		d.section(bodies[0], "", reflect.ValueOf(into).Elem())
	default:
		d.fault(placeOf(bodies[1].GetToken()), "", "a second YAML document begins here: want one")
		return false
	}
	return true
}
