package stage

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// faultSteering is the body of POST /_sim/faults.
type faultSteering struct {
	Clear bool   `json:"clear"`
	Rules []Rule `json:"rules"`
}

// steer answers the paths below /_sim/, which no journal records.
func (h *handler) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/journal":
		sendAnswer(w, AnswerJSON(http.StatusOK, h.journal.all()))
	case "GET /_sim/effects":
		sendAnswer(w, AnswerJSON(http.StatusOK, h.v.Effects()))
	case "GET /_sim/faults":
		sendAnswer(w, AnswerJSON(http.StatusOK, map[string]any{"rules": h.v.FaultRules().list()}))
	case "POST /_sim/faults":
		h.answerSteering(w, h.addFaults(w, r))
	case "GET /_sim/personas":
		sendAnswer(w, AnswerJSON(http.StatusOK, map[string]any{"personas": h.v.SteeredPersonas().all()}))
	case "POST /_sim/personas":
		h.answerSteering(w, h.setPersonas(w, r))
	case "POST /_sim/text":
		h.answerSteering(w, h.writeText(w, r))
	default:
		sendAnswer(w, AnswerJSON(http.StatusNotFound, map[string]string{"error": "no such steering path"}))
	}
}

func (h *handler) answerSteering(w http.ResponseWriter, err error) {
	if err != nil {
		sendAnswer(w, AnswerJSON(http.StatusBadRequest, map[string]string{"error": err.Error()}))
		return
	}
	sendAnswer(w, AnswerJSON(http.StatusOK, map[string]bool{"ok": true}))
}

func (h *handler) addFaults(w http.ResponseWriter, r *http.Request) error {
	var s faultSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	for i, rule := range s.Rules {
		if err := rule.check(h.v); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
	}
	if s.Clear {
		h.v.FaultRules().clear()
	}
	h.v.SteerFaults(s.Rules)
	h.v.FaultRules().add(slices.DeleteFunc(s.Rules, func(r Rule) bool { return r.Kind == FaultExpire }))
	return nil
}

func (h *handler) setPersonas(w http.ResponseWriter, r *http.Request) error {
	var s PersonaSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	if err := h.v.SteeredPersonas().Set(s); err != nil {
		return err
	}
	keys := slices.Collect(maps.Keys(s.Personas))
	h.v.PersonasChanged(slices.AppendSeq(keys, maps.Keys(s.Sequence)))
	return nil
}

// textSteering is the body of POST /_sim/text.
type textSteering struct {
	From string `json:"from"`
	Body string `json:"body"`
}

// texter is a vendor that lets people write to the product by themselves.
type texter interface {
	// WriteText makes the person with this number write to the product now.
	WriteText(from, body string) error
}

func (h *handler) writeText(w http.ResponseWriter, r *http.Request) error {
	t, ok := h.v.(texter)
	if !ok {
		return fmt.Errorf("nobody writes texts through %s", h.v.Name())
	}
	var s textSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	return t.WriteText(s.From, s.Body)
}

func readSteering(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSteeringBytes))
	if err != nil {
		return fmt.Errorf("read steering: %w", err)
	}
	if err := DecodeStrict(body, into); err != nil {
		return fmt.Errorf("read steering: %w", err)
	}
	return nil
}
