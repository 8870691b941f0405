package api_test

import (
	"strconv"
	"strings"
	"testing"
)

// Every operation names the refusals that it may answer with, in the words that all share. Tests that meet another one
// fail, see world.send.
func TestEveryOperationNamesItsRefusals(t *testing.T) {
	shared := map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "TooMany"}
	doc := readDocument(t)
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			needs := map[int]bool{
				401: true,
				403: true, // to a token that is good for less than its user's role
				404: strings.Contains(path, "{"),
				409: strings.Contains(matrix[op.OperationID], "409") || strings.HasPrefix(path, "/api/v1/incidents/{reference}/") && item.Post != nil,
				429: true, // also reads: those of a client's users wait for their turn
			}
			for status, name := range shared {
				r := op.Responses.Value(strconv.Itoa(status))
				switch {
				case r == nil && needs[status]:
					t.Errorf("%s does not name %d", op.OperationID, status)
				case r != nil && r.Ref != "#/components/responses/"+name:
					t.Errorf("%s has words of its own for %d", op.OperationID, status)
				}
			}
			if op.Responses.Default() == nil {
				t.Errorf("%s has no words for other errors", op.OperationID)
			}
		}
	}
}
