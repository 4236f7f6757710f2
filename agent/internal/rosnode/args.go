package rosnode

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxParamsFile bounds a parameter file, in bytes.
const maxParamsFile = 1 << 20

// override is a parameter that the ROS arguments set for a node.
type override struct {
	node  string // "", a name, "/**" or a full name
	name  string
	value any // bool, int64, float64, string, []string or whatever YAML holds
}

// overrides reads -p and --params-file out of a command line, in its order:
// the later wins.
func overrides(args []string) ([]override, error) {
	var out []override
	for rest := rosArgs(args); len(rest) > 0; rest = rest[1:] {
		flag := rest[0]
		if !slices.Contains([]string{"-p", "--param", "--params-file"}, flag) {
			continue
		}
		if len(rest) < 2 {
			return nil, fmt.Errorf("%w: %s wants a value", ErrArgs, flag)
		}
		rest = rest[1:]
		read := fromRule
		if flag == "--params-file" {
			read = fromFile
		}
		more, err := read(rest[0])
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// rosArgs is what stands between --ros-args and -- or the end.
func rosArgs(args []string) []string {
	var out []string
	ours := false
	for _, a := range args {
		switch {
		case a == "--ros-args":
			ours = true
		case ours && a == "--":
			ours = false
		case ours:
			out = append(out, a)
		}
	}
	return out
}

// fromRule reads [node:]name:=value.
func fromRule(rule string) ([]override, error) {
	left, right, found := strings.Cut(rule, ":=")
	if !found || left == "" {
		return nil, fmt.Errorf("%w: %q is no parameter: want name:=value", ErrArgs, cut(rule, maxName))
	}
	o := override{name: left}
	if node, name, found := strings.Cut(left, ":"); found {
		o.node, o.name = node, name
	}
	var v any
	if err := yaml.Unmarshal([]byte(right), &v); err != nil {
		return nil, fmt.Errorf("%w: the value of %s cannot be read as YAML: %s", ErrArgs, cut(left, maxName), firstLine(err))
	}
	o.value = plain(v)
	return []override{o}, nil
}

// fromFile reads a parameter file: nodes, ros__parameters, nested names.
func fromFile(path string) ([]override, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: parameter file: %w", ErrArgs, err)
	}
	if info.Size() > maxParamsFile {
		return nil, fmt.Errorf("%w: parameter file %s has %d bytes, and may have %d", ErrArgs, path, info.Size(), maxParamsFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: parameter file: %w", ErrArgs, err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("%w: parameter file %s: %s", ErrArgs, path, firstLine(err))
	}
	var out []override
	walkNodes("", tree, &out)
	return out, nil
}

// walkNodes goes down the namespaces to each node's ros__parameters.
func walkNodes(node string, tree map[string]any, out *[]override) {
	for _, key := range sortedKeys(tree) {
		below, ok := tree[key].(map[string]any)
		switch {
		case !ok:
		case key == "ros__parameters":
			walkParameters(node, "", below, out)
		case strings.HasPrefix(key, "/") || node == "":
			walkNodes(node+key, below, out)
		default:
			walkNodes(node+"/"+key, below, out)
		}
	}
}

func walkParameters(node, prefix string, tree map[string]any, out *[]override) {
	for _, key := range sortedKeys(tree) {
		if below, ok := tree[key].(map[string]any); ok {
			walkParameters(node, prefix+key+".", below, out)
			continue
		}
		*out = append(*out, override{node: node, name: prefix + key, value: plain(tree[key])})
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// plain makes YAML's numbers and lists the types that parameters have.
func plain(v any) any {
	switch x := v.(type) {
	case int:
		return int64(x)
	case uint64:
		return int64(min(x, 1<<63-1))
	case []any:
		texts := make([]string, 0, len(x))
		for _, e := range x {
			s, ok := e.(string)
			if !ok {
				return v
			}
			texts = append(texts, s)
		}
		return texts
	}
	return v
}

// meets says whether the override is for the node with this full name.
func (o override) meets(fullName string) bool {
	name := fullName[strings.LastIndexByte(fullName, '/')+1:]
	switch o.node {
	case "", "/**", "/*", "**", name, fullName:
		return true
	}
	return "/"+o.node == fullName
}

// simTime refuses arguments that ask for a simulated clock, for whichever
// node they do: this process holds one.
func simTime(all []override) error {
	for _, o := range all {
		if o.name == "use_sim_time" && o.value != false {
			return ErrSimTime
		}
	}
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
