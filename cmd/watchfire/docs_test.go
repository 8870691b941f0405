package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/operations.md has a row for every kind of task and of alarm that the API names.
func TestTheTablesOfTasksAndAlarmsAreComplete(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{"nobody_reached", "not_running"} {
		enum := regexp.MustCompile(`enum: \[(` + first + `, [a-z_, ]+)\]`).FindSubmatch(spec)
		if enum == nil {
			t.Fatalf("the document has no list that begins with %s", first)
		}
		for kind := range strings.SplitSeq(string(enum[1]), ", ") {
			if !strings.Contains(string(doc), "\n| `"+kind+"` | ") {
				t.Errorf("docs/operations.md has no row for %s", kind)
			}
		}
	}
}

// Links inside docs/operations.md lead to a heading.
func TestLinksWithinTheManualLeadSomewhere(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllSubmatch(doc, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(string(heading[1])), "")
		anchors[strings.ReplaceAll(plain, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllSubmatch(doc, -1)
	if len(links) < 10 {
		t.Fatalf("only %d links", len(links))
	}
	for _, link := range links {
		if !anchors[string(link[1])] {
			t.Errorf("no heading for #%s", link[1])
		}
	}
}
