package rosnode

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Parameter is one of the node's. Neither function may block.
type Parameter struct {
	Name        string // lower_case, dots between levels
	Description string
	// Value is a bool, int64, float64, string or []string, always of the same
	// type.
	Value func() any
	// Set takes a value of that type, or says what is wrong with it; nil: the
	// parameter is read-only.
	Set func(v any) error
	// Min and Max bound a number, where Max > Min.
	Min, Max float64
}

// ReadOnly is a parameter that only tells.
func ReadOnly(name, description string, value any) Parameter {
	return Parameter{Name: name, Description: description, Value: func() any { return value }}
}

// paramType is rcl_interfaces/msg/ParameterType.
type paramType uint8

// The types of parameters that the node has.
const (
	typeNotSet      paramType = 0
	typeBool        paramType = 1
	typeInteger     paramType = 2
	typeDouble      paramType = 3
	typeString      paramType = 4
	typeStringArray paramType = 9
)

func typeOf(v any) paramType {
	switch v.(type) {
	case bool:
		return typeBool
	case int64:
		return typeInteger
	case float64:
		return typeDouble
	case string:
		return typeString
	case []string:
		return typeStringArray
	}
	return typeNotSet
}

// Refusals to set a parameter.
var (
	errUndeclared = errors.New("there is no such parameter")
	errReadOnly   = errors.New("it comes from the agent's configuration file, and is changed there")
)

// parameters are the node's, by name. They all exist from the start, so they
// are read without a lock; setting is one at a time.
type parameters struct {
	names  []string // sorted
	byName map[string]Parameter
	mu     sync.Mutex
}

func newParameters(given []Parameter) (*parameters, error) {
	p := &parameters{byName: make(map[string]Parameter, len(given)+1)}
	sim := ReadOnly("use_sim_time", "always false: an update happens in real time", false)
	sim.Set = func(v any) error {
		if v == false {
			return nil
		}
		return ErrSimTime
	}
	for _, x := range append(slices.Clone(given), sim) {
		if _, twice := p.byName[x.Name]; twice || x.Name == "" || x.Value == nil || typeOf(x.Value()) == typeNotSet {
			return nil, fmt.Errorf("parameter %q is declared twice, or is of a type that parameters cannot have", x.Name)
		}
		p.byName[x.Name] = x
		p.names = append(p.names, x.Name)
	}
	slices.Sort(p.names)
	return p, nil
}

// list is rcl_interfaces/srv/ListParameters: the names below the prefixes, up
// to depth levels further (0: all), and the prefixes that those have.
func (p *parameters) list(prefixes []string, depth uint64) (names, levels []string) {
	for _, name := range p.names {
		if !listed(name, prefixes, depth) {
			continue
		}
		names = append(names, name)
		if i := strings.LastIndexByte(name, '.'); i >= 0 && !slices.Contains(levels, name[:i]) {
			levels = append(levels, name[:i])
		}
	}
	return names, levels
}

func listed(name string, prefixes []string, depth uint64) bool {
	if len(prefixes) == 0 {
		return depth == 0 || uint64(strings.Count(name, ".")) < depth
	}
	for _, prefix := range prefixes {
		if name == prefix {
			return true
		}
		if below, found := strings.CutPrefix(name, prefix+"."); found && (depth == 0 || uint64(strings.Count(below, ".")) < depth) {
			return true
		}
	}
	return false
}

// get is the value of a parameter, nil where there is none.
func (p *parameters) get(name string) any {
	x, ok := p.byName[name]
	if !ok {
		return nil
	}
	return x.Value()
}

// setting is a value for a parameter.
type setting struct {
	name  string
	value any
}

// set changes one parameter.
func (p *parameters) set(s setting) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, err := p.fit(s)
	if err != nil {
		return fmt.Errorf("%s: %w", cut(s.name, maxName), err)
	}
	return p.byName[s.name].Set(v)
}

// setAll changes all of them or none: what was changed before one was refused
// is changed back.
func (p *parameters) setAll(all []setting) error {
	var done []setting
	for _, s := range all {
		before := setting{s.name, p.get(s.name)}
		if err := p.set(s); err != nil {
			for _, d := range slices.Backward(done) {
				err = errors.Join(err, p.set(d))
			}
			return err
		}
		done = append(done, before)
	}
	return nil
}

// fit checks a value against the parameter's declaration.
func (p *parameters) fit(s setting) (any, error) {
	x, ok := p.byName[s.name]
	if !ok {
		return nil, errUndeclared
	}
	if x.Set == nil {
		return nil, errReadOnly
	}
	want := typeOf(x.Value())
	v := s.value
	if n, isInt := v.(int64); isInt && want == typeDouble { // 1 for 1.0, as typed by people
		v = float64(n)
	}
	if typeOf(v) != want {
		return nil, fmt.Errorf("it takes a value such as %v", x.Value())
	}
	if f, isNumber := number(v); isNumber && x.Max > x.Min && !(f >= x.Min && f <= x.Max) {
		return nil, fmt.Errorf("%v is not between %v and %v", v, x.Min, x.Max)
	}
	return v, nil
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// start applies what the ROS arguments say. A parameter that the node does not
// have is returned by name: other ROS nodes ignore those too.
func (p *parameters) start(all []override, fullName string) (unknown []string, err error) {
	for _, o := range all {
		if !o.meets(fullName) {
			continue
		}
		if _, ok := p.byName[o.name]; !ok {
			unknown = append(unknown, cut(o.name, maxName))
			continue
		}
		if err := p.set(setting{o.name, o.value}); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrArgs, err)
		}
	}
	return unknown, nil
}
