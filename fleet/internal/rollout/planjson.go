package rollout

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/firmware/strictjson"
)

// MaxPlan bounds a plan's JSON, in bytes.
const MaxPlan = 16 << 10

// span is a duration as text: 48h.
type span time.Duration

func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("want a duration such as 48h: %w", err)
	}
	*s = span(d)
	return nil
}

// seed is a number that is too large for some readers of JSON, so it is text.
type seed uint64

func (s seed) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(s)), nil }

func (s *seed) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) > 16 {
		return fmt.Errorf("%.20q is not a seed: want up to 16 hex digits", b)
	}
	*s = seed(n)
	return nil
}

func (p *Plan) fields() []strictjson.Field {
	return []strictjson.Field{
		{Name: "release", Into: &p.Release}, {Name: "sku", Into: &p.SKU}, {Name: "version", Into: &p.Version}, {Name: "protocol", Into: &p.Protocol},
		{Name: "internal", Into: &p.Internal}, {Name: "seed", Into: (*seed)(&p.Seed)},
	}
}

func (s *Step) fields() []strictjson.Field {
	return []strictjson.Field{{Name: "share", Into: &s.Share}, {Name: "watch", Into: (*span)(&s.Watch)}, {Name: "patience", Into: (*span)(&s.Patience)}}
}

func (l *Limits) fields() []strictjson.Field {
	return []strictjson.Field{
		{Name: "failure_rate", Into: &l.FailureRate}, {Name: "false_alarms", Into: &l.FalseAlarms},
		{Name: "detect", Into: &l.Detect}, {Name: "power", Into: &l.Power},
		{Name: "away", Into: (*span)(&l.Away)}, {Name: "coverage", Into: &l.Coverage},
		{Name: "topic_margin", Into: &l.TopicMargin}, {Name: "drain_margin", Into: &l.DrainMargin}, {Name: "safety_margin", Into: &l.SafetyMargin},
	}
}

// parts of a plan that are objects of their own.
func (p *Plan) parts() []part {
	return []part{
		{"stages.internal", p.Steps.Internal.fields()}, {"stages.canary", p.Steps.Canary.fields()},
		{"stages.wide", p.Steps.Wide.fields()}, {"stages.full", p.Steps.Full.fields()}, {"limits", p.Limits.fields()},
	}
}

type part struct {
	name   string
	fields []strictjson.Field
}

// Overlay reads a plan's JSON strictly: what it does not name stays what it is
// in base. It does not say whether the plan can be followed: see Plan.Check.
func Overlay(base Plan, b []byte) (Plan, error) {
	if len(b) > MaxPlan {
		return Plan{}, fmt.Errorf("%w: it is larger than %d bytes", ErrPlan, MaxPlan)
	}
	p := base
	p.Internal = append([]string(nil), base.Internal...)
	schema := Schema // where a person left it out
	var stages, limits json.RawMessage
	raw := map[string]*json.RawMessage{}
	fields := append(p.fields(), strictjson.Field{Name: "schema", Into: &schema}, strictjson.Field{Name: "stages", Into: &stages}, strictjson.Field{Name: "limits", Into: &limits})
	if err := fill(b, fields); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if schema != Schema {
		return Plan{}, fmt.Errorf("%w: schema %d; this program knows %d", ErrPlan, schema, Schema)
	}
	var steps []strictjson.Field
	for _, stage := range Stages() {
		raw["stages."+string(stage)] = new(json.RawMessage)
		steps = append(steps, strictjson.Field{Name: string(stage), Into: raw["stages."+string(stage)]})
	}
	if stages != nil {
		if err := fill(stages, steps); err != nil {
			return Plan{}, fmt.Errorf("%w: stages: %w", ErrPlan, err)
		}
	}
	raw["limits"] = &limits
	for _, part := range p.parts() {
		if given := *raw[part.name]; given != nil {
			if err := fill(given, part.fields); err != nil {
				return Plan{}, fmt.Errorf("%w: %s: %w", ErrPlan, part.name, err)
			}
		}
	}
	if len(p.Internal) == 0 {
		p.Internal = nil
	}
	return p, nil
}

// fill reads an object of which fields may be missing.
func fill(b []byte, optional []strictjson.Field) error {
	for i := range optional {
		optional[i].Optional = true
	}
	return strictjson.Fill(b, optional...)
}

// ParsePlan reads a plan that was stored, or written as a whole.
func ParsePlan(b []byte) (Plan, error) {
	p, err := Overlay(Plan{}, b)
	if err != nil {
		return Plan{}, err
	}
	return p, p.Check()
}

// MarshalJSON writes it as ParsePlan reads it.
func (p Plan) MarshalJSON() ([]byte, error) {
	object := func(fields []strictjson.Field) map[string]any {
		m := map[string]any{}
		for _, f := range fields {
			m[f.Name] = f.Into
		}
		return m
	}
	if p.Internal == nil {
		p.Internal = []string{}
	}
	all, stages := object(p.fields()), map[string]any{}
	for _, stage := range Stages() {
		step := p.Steps.Of(stage)
		stages[string(stage)] = object(step.fields())
	}
	all["schema"], all["stages"], all["limits"] = Schema, stages, object(p.Limits.fields())
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON wrote, strictly.
func (p *Plan) UnmarshalJSON(b []byte) (err error) {
	*p, err = ParsePlan(b)
	return err
}
