package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnOrderTakesTextsLikeEveryDoor(t *testing.T) {
	for body, command := range map[string]string{
		`{"text":"\u202egnirts\u0007"}`: "comment", `{"text":"\u200b"}`: "comment", `{"title":"a\u202eb\nc"}`: "assess",
	} {
		file := filepath.Join(t.TempDir(), "body.json")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readOrder("SI-1042-0007", command, "6f1f2f6e-0000-4000-8000-000000000001", "analyst", "r", file); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}
