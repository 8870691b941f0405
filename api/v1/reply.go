package v1

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// reply is the answer of an operation that succeeded.
type reply struct {
	status   int
	body     any    // written as JSON, unless there is a raw one
	raw      []byte // written byte for byte
	location string // where to read the thing that the operation made
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// answer writes the reply of an operation, or its error as a problem.
func (s *server) answer(c *gin.Context, r reply, err error) {
	if err == nil {
		err = r.write(c.Writer)
	}
	if err != nil {
		s.answerError(c, err)
	}
}

func (r reply) write(w http.ResponseWriter) error {
	if r.status == http.StatusNoContent {
		w.WriteHeader(r.status)
		return nil
	}
	body := r.raw
	if body == nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if r.location != "" {
		w.Header().Set("Location", r.location)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // a caller that went away is no error of ours
	return nil
}
