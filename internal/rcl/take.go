//go:build ros2

package rcl

/*
#include <rcl/subscription.h>
#include <rcutils/error_handling.h>

static rcl_ret_t take(const void *subscription, void *message) {
	return rcl_take(subscription, message, NULL, NULL);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"
)

// spout is where the messages of one subscription come out, one after the other
// into the same memory. rclgo's own way makes memory for each, and says at length,
// with a stack trace, that there was none.
type spout struct {
	sub    *rclgo.Subscription
	inner  unsafe.Pointer // rcl's
	kind   types.MessageTypeSupport
	memory unsafe.Pointer // of one message as C has it
}

func newSpout(sub *rclgo.Subscription, kind types.MessageTypeSupport) (*spout, error) {
	c, err := inner(sub)
	if err != nil {
		return nil, err
	}
	return &spout{sub: sub, inner: c, kind: kind, memory: kind.PrepareMemory()}, nil
}

// take writes the next message to m; false: there is none.
func (s *spout) take(m types.Message) (bool, error) {
	switch rc := C.take(s.inner, s.memory); rc {
	case C.RCL_RET_OK:
		s.kind.AsGoStruct(m, s.memory)
		return true, nil
	case C.RCL_RET_SUBSCRIPTION_TAKE_FAILED:
		return false, nil
	default:
		said := C.rcutils_get_error_string()
		return false, fmt.Errorf("%s (rcl %d)", C.GoString(&said.str[0]), int(rc))
	}
}

// close frees the memory. Nobody may be taking.
func (s *spout) close() { s.kind.ReleaseMemory(s.memory) }

// inner is rcl's subscription inside of rclgo's, which keeps it to itself.
func inner(sub *rclgo.Subscription) (unsafe.Pointer, error) {
	field := reflect.ValueOf(sub).Elem().FieldByName("rcl_subscription_t")
	if field.Kind() != reflect.Pointer || field.IsNil() {
		return nil, errors.New("this rclgo hides rcl's subscriptions elsewhere")
	}
	return field.UnsafePointer(), nil
}
