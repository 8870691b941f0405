package stage

import (
	"context"
	"errors"
	"testing"
)

func TestNothingLeavesTheMachine(t *testing.T) {
	s := New(t.Context(), 0, nil)
	defer func() { _ = s.Close(context.Background()) }()
	_, err := s.web.Get("http://192.0.2.1:80/")
	if !errors.Is(err, errNotLoopback) {
		t.Fatalf("dialed: %v", err)
	}
}
