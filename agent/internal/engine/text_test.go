package engine

import (
	"errors"
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
)

func TestAFailureNamesTheAttack(t *testing.T) {
	forged := &image.Refused{Code: image.RefusedSignature, Detail: "by a stranger"}
	for want, err := range map[string]error{
		"image refused (signature): by a stranger (possible attack: arbitrary image)":            forged,
		"once more: image refused (signature): by a stranger (possible attack: arbitrary image)": fmt.Errorf("once more: %w", forged),
		"image refused (app): torn": &image.Refused{Code: image.RefusedApp, Detail: "torn"},
		"no route":                  errors.New("no route"),
	} {
		if got := text(err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
