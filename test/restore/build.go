package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutation replaces a text of the product by another before it is built.
type mutation struct{ file, text, with string }

// mutations switch something off that a restore relies on, by name.
func mutations() map[string]mutation {
	return map[string]mutation{
		"references": {"desk/incident.go", "known[r] = taken", "known[r] = taken && false"},
		"alarm":      {"activities/records.go", "if failed := s.RaiseAlarm(ctx, alarm); failed != nil {", "if failed := err; alarm.Kind == \"\" {"},
		"decisions":  {"reconcile/settle.go", "if c.FirstSeq != e.Seq ||", "if c.FirstSeq > 0 ||"},
		"behind":     {"reconcile/settle.go", "run.seq() < i.Seq", "run.seq() < 0"},
		"ghosts":     {"reconcile/settle.go", "d.Settle = SettleRecover\n\treturn d, nil\n}", "d.Settle = SettleEnd\n\treturn d, nil\n}"},
	}
}

// broken are disasters that the product with something switched off must not pass.
func broken() []disaster {
	return []disaster{
		{name: "broken: references are given twice", store: true, hurry: true, off: "references", wants: "existed before"},
		{name: "broken: nobody is told of refused events", store: true, hurry: true, off: "alarm", wants: "the alarm not_recorded"},
		{name: "broken: decisions are not recovered", store: true, batch: 1, off: "decisions", wants: "recover event"},
		{name: "broken: ghosts are ended", store: true, batch: 1, off: "ghosts", wants: "the differences do not end"},
		{name: "broken: workflows that are behind are not listed", batch: 1, off: "behind", wants: "the engine has"},
	}
}

// build builds the product, with something switched off ("" for nothing), and returns the path of the binary.
func build(ctx context.Context, dir, off string) (string, error) {
	binary := filepath.Join(dir, "watchfire")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if off != "" {
		overlay, err := overlay(dir, mutations()[off])
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(args, "./cmd/watchfire")...) // #nosec G204 -- our own arguments
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
}

// overlay writes the file for the go command's -overlay.
func overlay(dir string, m mutation) (string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), m.text) != 1 {
		return "", fmt.Errorf("%s no longer holds %q once: adapt test/restore/build.go", m.file, m.text)
	}
	changed := filepath.Join(dir, "mutated.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.text, m.with, 1)), 0o600); err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{absolute: changed}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}
