package stage

import (
	"net/http/httptest"
	"testing"
	"time"
)

func TestJournalIsBounded(t *testing.T) {
	j := NewJournal(nil)
	r := httptest.NewRequest("POST", "/x", nil)
	body := make([]byte, 1<<20)
	for range 300 {
		j.begin("v", time.Now(), r, body)
	}
	if j.bytes > journalBytes || len(j.all()) > 256 || len(j.all()) < 200 {
		t.Fatalf("%d entries, %d bytes", len(j.all()), j.bytes)
	}
}
