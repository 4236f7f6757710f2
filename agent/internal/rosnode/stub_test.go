//go:build !ros2

package rosnode

import (
	"errors"
	"testing"
)

func TestWithoutROS(t *testing.T) {
	if _, err := New(Config{}, nil, nil, nil); !errors.Is(err, ErrNoROS) {
		t.Errorf("New: %v", err)
	}
	if err := new(Node).Run(t.Context()); !errors.Is(err, ErrNoROS) {
		t.Errorf("Run: %v", err)
	}
}
