package main

import (
	"context"
	"errors"
)

// wire builds the agent out of its parts and runs it until ctx ends.
func wire(context.Context, agent) error { return errors.New("not wired yet") }
