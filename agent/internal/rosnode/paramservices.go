//go:build ros2

package rosnode

import (
	"context"
	"errors"
	"slices"
	"time"

	rcl_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/rcl_interfaces/msg"
	rcl_srvs "github.com/robot-platform/robot-ota/internal/rosmsgs/rcl_interfaces/srv"

	"github.com/robot-platform/robot-ota/internal/rcl"
)

// serveParameters declares the six services that ROS's tools ask; they wait
// until all six are there.
func (n *Node) serveParameters(ctx context.Context, node *rcl.Node) error {
	changed, err := node.Publisher("/parameter_events",
		rcl.Outgoing[rcl_msgs.CParameterEvent](rcl_msgs.ParameterEventTypeSupport), rcl.Reliable(100))
	if err != nil {
		return err
	}
	s := paramServer{n, node.FullName(), changed}
	return errors.Join(
		on[rcl_srvs.CListParameters_Response](ctx, n, node, "~/list_parameters", rcl_srvs.ListParametersTypeSupport, n.commands, s.list),
		on[rcl_srvs.CGetParameters_Response](ctx, n, node, "~/get_parameters", rcl_srvs.GetParametersTypeSupport, n.commands, s.get),
		on[rcl_srvs.CGetParameterTypes_Response](ctx, n, node, "~/get_parameter_types", rcl_srvs.GetParameterTypesTypeSupport, n.commands, s.types),
		on[rcl_srvs.CDescribeParameters_Response](ctx, n, node, "~/describe_parameters", rcl_srvs.DescribeParametersTypeSupport, n.commands, s.describe),
		on[rcl_srvs.CSetParameters_Response](ctx, n, node, "~/set_parameters", rcl_srvs.SetParametersTypeSupport, n.commands, s.set),
		on[rcl_srvs.CSetParametersAtomically_Response](ctx, n, node, "~/set_parameters_atomically", rcl_srvs.SetParametersAtomicallyTypeSupport, n.commands, s.setAll),
	)
}

// paramServer words the answers of the parameter services. Those that only
// read have no place for a refusal: when too much is asked at once they are
// answered all the same.
type paramServer struct {
	*Node
	fullName string
	changed  *rcl.Publisher
}

func (s paramServer) list(_ context.Context, q *rcl_srvs.ListParameters_Request, _ error) *rcl_srvs.ListParameters_Response {
	a := rcl_srvs.NewListParameters_Response()
	a.Result.Names, a.Result.Prefixes = s.params.list(few(q.Prefixes), q.Depth)
	return a
}

func (s paramServer) get(_ context.Context, q *rcl_srvs.GetParameters_Request, _ error) *rcl_srvs.GetParameters_Response {
	a := rcl_srvs.NewGetParameters_Response()
	for _, name := range few(q.Names) {
		a.Values = append(a.Values, value(s.params.get(name)))
	}
	return a
}

func (s paramServer) types(_ context.Context, q *rcl_srvs.GetParameterTypes_Request, _ error) *rcl_srvs.GetParameterTypes_Response {
	a := rcl_srvs.NewGetParameterTypes_Response()
	for _, name := range few(q.Names) {
		a.Types = append(a.Types, uint8(typeOf(s.params.get(name))))
	}
	return a
}

func (s paramServer) describe(_ context.Context, q *rcl_srvs.DescribeParameters_Request, _ error) *rcl_srvs.DescribeParameters_Response {
	a := rcl_srvs.NewDescribeParameters_Response()
	for _, name := range few(q.Names) {
		a.Descriptors = append(a.Descriptors, descriptor(name, s.params))
	}
	return a
}

func descriptor(name string, p *parameters) rcl_msgs.ParameterDescriptor {
	d := rcl_msgs.ParameterDescriptor{Name: cut(name, maxName)}
	x, ok := p.byName[name]
	if !ok {
		return d
	}
	v := x.Value()
	d.Type, d.Description, d.ReadOnly = uint8(typeOf(v)), x.Description, x.Set == nil
	if x.Max <= x.Min {
		return d
	}
	switch v.(type) {
	case float64:
		d.FloatingPointRange = []rcl_msgs.FloatingPointRange{{FromValue: x.Min, ToValue: x.Max}}
	case int64:
		d.IntegerRange = []rcl_msgs.IntegerRange{{FromValue: int64(x.Min), ToValue: int64(x.Max)}}
	}
	return d
}

func (s paramServer) set(_ context.Context, q *rcl_srvs.SetParameters_Request, err error) *rcl_srvs.SetParameters_Response {
	a := rcl_srvs.NewSetParameters_Response()
	for _, x := range few(q.Parameters) {
		e := err
		if e == nil {
			e = s.params.set(setting{x.Name, valueOf(x.Value)})
		}
		if e == nil {
			s.tell([]rcl_msgs.Parameter{x})
		}
		a.Results = append(a.Results, outcome(e))
	}
	return a
}

func (s paramServer) setAll(_ context.Context, q *rcl_srvs.SetParametersAtomically_Request, err error) *rcl_srvs.SetParametersAtomically_Response {
	a := rcl_srvs.NewSetParametersAtomically_Response()
	given := few(q.Parameters)
	all := make([]setting, 0, len(given))
	for _, x := range given {
		all = append(all, setting{x.Name, valueOf(x.Value)})
	}
	if err == nil {
		err = s.params.setAll(all)
	}
	if err == nil {
		s.tell(given)
	}
	a.Result = outcome(err)
	return a
}

// tell publishes what has changed, for tools that show it.
func (s paramServer) tell(changed []rcl_msgs.Parameter) {
	m := rcl_msgs.NewParameterEvent()
	m.Stamp, m.Node = stamp(time.Now()), s.fullName
	for _, x := range changed {
		s.log.Info("parameter set through ROS", "name", x.Name, "value", s.params.get(x.Name))
		m.ChangedParameters = append(m.ChangedParameters, rcl_msgs.Parameter{Name: x.Name, Value: value(s.params.get(x.Name))})
	}
	s.complain(s.changed.Publish(m))
}

func outcome(err error) rcl_msgs.SetParametersResult {
	if err != nil {
		return rcl_msgs.SetParametersResult{Reason: err.Error()}
	}
	return rcl_msgs.SetParametersResult{Successful: true}
}

// maxAsked bounds how many names one request may hold.
const maxAsked = 256

// few bounds a list from outside.
func few[T any](all []T) []T { return all[:min(len(all), maxAsked)] }

func value(v any) rcl_msgs.ParameterValue {
	m := rcl_msgs.ParameterValue{Type: uint8(typeOf(v))}
	switch x := v.(type) {
	case bool:
		m.BoolValue = x
	case int64:
		m.IntegerValue = x
	case float64:
		m.DoubleValue = x
	case string:
		m.StringValue = x
	case []string:
		m.StringArrayValue = slices.Clone(x)
	}
	return m
}

// valueOf is nil for types that none of the parameters has.
func valueOf(m rcl_msgs.ParameterValue) any {
	switch paramType(m.Type) {
	case typeBool:
		return m.BoolValue
	case typeInteger:
		return m.IntegerValue
	case typeDouble:
		return m.DoubleValue
	case typeString:
		return m.StringValue
	case typeStringArray:
		return m.StringArrayValue
	case typeNotSet:
	}
	return nil
}
