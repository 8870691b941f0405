package edr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	maxCandidates    = 5   // that a person is told of
	maxCandidateName = 100 // runes
	maxCandidateID   = 64  // runes
)

// Resolve returns the one device that a host name means: the only one of exactly this name, whatever the case. A full
// DNS name and a short one are never taken for each other, because several domains may have a device of one name. Where
// it is not one device, problem says how many have the name and names those that may be meant, as the EDR writes them,
// for a person to decide; otherwise it is "". Errors are those of Connection.Find.
func Resolve(ctx context.Context, c Connection, hostname string) (only models.Host, problem string, err error) {
	found, err := c.Find(ctx, hostname)
	if label := plain.Label(hostname); err == nil && len(found) == 0 && label != hostname {
		found, err = c.Find(ctx, label)
	}
	if err != nil {
		return models.Host{}, "", err
	}
	var exact []models.Host
	for _, h := range found {
		if strings.EqualFold(h.Hostname, hostname) {
			exact = append(exact, h)
		}
	}
	switch {
	case len(exact) == 1:
		return exact[0], "", nil
	case len(exact) > 1:
		return models.Host{}, fmt.Sprintf("%d devices have this name: %s", len(exact), candidates(exact)), nil
	case len(found) > 0:
		return models.Host{}, "0 devices have this name, which may mean " + candidates(found), nil
	}
	return models.Host{}, "0 devices have this name", nil
}

// candidates names some devices in a fixed order, so that the same devices give the same words.
func candidates(hosts []models.Host) string {
	var names []string
	for _, h := range hosts {
		names = append(names, fmt.Sprintf("%q (agent %s)", models.CleanLine(h.Hostname, maxCandidateName), models.CleanLine(h.ID, maxCandidateID)))
	}
	slices.Sort(names)
	more := len(names) - maxCandidates
	names = names[:min(len(names), maxCandidates)]
	if more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
