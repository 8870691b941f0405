package simulators

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// faultSteering is the body of POST /_sim/faults.
type faultSteering struct {
	Clear bool   `json:"clear"`
	Rules []Rule `json:"rules"`
}

// steer answers the /_sim/ paths, which no journal records.
func (c *counter) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/journal":
		send(w, jsonAnswer(http.StatusOK, c.journal.all()))
	case "GET /_sim/effects":
		send(w, jsonAnswer(http.StatusOK, c.v.effects()))
	case "GET /_sim/faults":
		send(w, jsonAnswer(http.StatusOK, map[string]any{"rules": c.v.rules().list()}))
	case "POST /_sim/faults":
		c.steered(w, c.addFaults(w, r))
	case "GET /_sim/personas":
		send(w, jsonAnswer(http.StatusOK, map[string]any{"personas": c.v.steerPersonas().all()}))
	case "POST /_sim/personas":
		c.steered(w, c.setPersonas(w, r))
	case "POST /_sim/text":
		c.steered(w, c.sendText(w, r))
	default:
		send(w, jsonAnswer(http.StatusNotFound, map[string]string{"error": "no such steering path"}))
	}
}

func (c *counter) steered(w http.ResponseWriter, err error) {
	if err != nil {
		send(w, jsonAnswer(http.StatusBadRequest, map[string]string{"error": err.Error()}))
		return
	}
	send(w, jsonAnswer(http.StatusOK, map[string]bool{"ok": true}))
}

func (c *counter) addFaults(w http.ResponseWriter, r *http.Request) error {
	var s faultSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	for i, rule := range s.Rules {
		if err := rule.check(c.v.ops()); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
	}
	if s.Clear {
		c.v.rules().clear()
	}
	c.v.steerFaults(s.Rules)
	c.v.rules().add(slices.DeleteFunc(s.Rules, func(r Rule) bool { return r.Kind == faultExpire }))
	return nil
}

func (c *counter) setPersonas(w http.ResponseWriter, r *http.Request) error {
	var s personaSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	if err := c.v.steerPersonas().set(s); err != nil {
		return err
	}
	keys := slices.Collect(maps.Keys(s.Personas))
	c.v.personasChanged(slices.AppendSeq(keys, maps.Keys(s.Sequence)))
	return nil
}

// textSteering is the body of POST /_sim/text: what a person writes to our number now.
type textSteering struct {
	From string `json:"from"`
	Body string `json:"body"`
}

// texter is a vendor whose people can write to the product by themselves.
type texter interface {
	steerText(s textSteering) error
}

func (c *counter) sendText(w http.ResponseWriter, r *http.Request) error {
	t, ok := c.v.(texter)
	if !ok {
		return fmt.Errorf("nobody writes texts through %s", c.v.name())
	}
	var s textSteering
	if err := readSteering(w, r, &s); err != nil {
		return err
	}
	return t.steerText(s)
}

func readSteering(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSteeringBytes))
	if err != nil {
		return fmt.Errorf("read steering: %w", err)
	}
	if err := strictJSON(body, into); err != nil {
		return fmt.Errorf("read steering: %w", err)
	}
	return nil
}

// strictJSON decodes one JSON value and refuses unknown fields and anything after it.
func strictJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
