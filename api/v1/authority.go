package v1

import (
	"cmp"
	"context"
	"net/http"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

// GetResponseAuthority lists the versions of a client's response authority.
func (s *server) GetResponseAuthority(ctx context.Context, r GetResponseAuthorityRequestObject) (GetResponseAuthorityResponseObject, error) {
	ctx, who := called(ctx)
	list, people, holds, err := s.desk.Authorities(ctx, who.user, r.Number)
	return ok(ResponseAuthorityList{Items: list, People: people, Holds: holds}), err
}

// DraftResponseAuthority adds a version.
func (s *server) DraftResponseAuthority(ctx context.Context, r DraftResponseAuthorityRequestObject) (DraftResponseAuthorityResponseObject, error) {
	ctx, who := called(ctx)
	a, err := s.desk.DraftAuthority(ctx, who.user, r.Number, authority.Authority{
		Rules: r.Body.Rules, Never: r.Body.Never, TwoPersons: r.Body.TwoPersons,
	}, r.Params.IdempotencyKey)
	return reply{status: http.StatusCreated, body: a}, err
}

// SignResponseAuthority signs a version for the client.
func (s *server) SignResponseAuthority(ctx context.Context, r SignResponseAuthorityRequestObject) (SignResponseAuthorityResponseObject, error) {
	ctx, who := called(ctx)
	a, err := s.desk.SignAuthority(ctx, who.user, r.Number, r.Version)
	return ok(a), err
}

// dryRunAssumes is what a dry run cannot know of a real device.
func dryRunAssumes() []string {
	return []string{
		"The EDR knows the device by the name given here: its own name for it is judged as well.",
		"The EDR tells tags, unless tags_unknown is set: where it does not, rules that forbid or ask and two-person marks by tag hold.",
		"Isolation is not paused, and the client's limit of isolations within ten minutes is not reached.",
	}
}

// DryRunResponseAuthority says what would be decided.
func (s *server) DryRunResponseAuthority(ctx context.Context, r DryRunResponseAuthorityRequestObject) (DryRunResponseAuthorityResponseObject, error) {
	ctx, who := called(ctx)
	ruling, err := s.desk.DryRun(ctx, who.user, r.Number, authority.Request{
		Action: r.Body.Action, Severity: cmp.Or(r.Body.Severity, models.SeverityCritical),
		Asset: authority.Asset{Hostname: r.Body.Hostname, Class: r.Body.Class, Tags: r.Body.Tags, TagsUnknown: r.Body.TagsUnknown},
	}, r.Body.At, r.Body.Version)
	return ok(DryRunRuling{
		Decision: ruling.Decision, Rule: ruling.Rule, Version: ruling.Version, Persons: ruling.Persons, Assumes: dryRunAssumes(),
	}), err
}
