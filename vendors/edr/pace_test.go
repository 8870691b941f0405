package edr_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

type counted struct{ requests int }

func (c *counted) RoundTrip(*http.Request) (*http.Response, error) {
	c.requests++
	return httptest.NewRecorder().Result(), nil
}

func TestRequestsKeepTheVendorsPace(t *testing.T) {
	var vendor counted
	transport := edr.Paced(&vendor, 3)
	rejected := 0
	for n := range 5 {
		ctx, cancel := t.Context(), func() {}
		if n >= 3 { // the next turn would come after a third of a second
			ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		}
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://edr.example/", nil)
		res, err := transport.RoundTrip(req)
		if err != nil {
			rejected++
			continue
		}
		_ = res.Body.Close()
	}
	if vendor.requests != 3 || rejected != 2 {
		t.Errorf("%d requests at once, %d rejected; want 3 and 2", vendor.requests, rejected)
	}
	if unlimited := edr.Paced(&vendor, 0); unlimited != http.RoundTripper(&vendor) {
		t.Errorf("no limit is %T", unlimited)
	}
}
