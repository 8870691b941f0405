package desk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// begins finds the calls that begin a transaction on the desk's own store, past the user whom it is for.
var begins = regexp.MustCompile(`d\.store\.(ForClient|ForSOC|ForLogins|InClient|InEveryClient|InLogins|RecordedCommand|AdmitCommand|Recorded|CreateClient|Alarms|Use)\(`)

// Every transaction for a person begins with store.Store.By, so that the database knows whom it is for and what they reach.
// Facts of machines alone do without.
func TestEveryTransactionIsForSomebody(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "fact.go" {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range begins.FindAllString(string(source), -1) {
			t.Errorf("%s: %s...) is for nobody", file, call)
		}
	}
}
