package v1

import (
	"cmp"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

func (s *server) GetResponseAuthority(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	list, people, holds, err := s.desk.Authorities(ctx, who.user, number)
	s.answer(c, ok(ResponseAuthorityList{Items: list, People: people, Holds: holds}), err)
}

func (s *server) DraftResponseAuthority(c *gin.Context, number ClientNumber, params DraftResponseAuthorityParams) {
	var body NewResponseAuthority
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	a, err := s.desk.DraftAuthority(ctx, who.user, number, authority.Authority{
		Rules: body.Rules, Never: body.Never, TwoPersons: body.TwoPersons,
	}, params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusCreated, body: a}, err)
}

func (s *server) SignResponseAuthority(c *gin.Context, number ClientNumber, version int) {
	ctx, who := callerOf(c)
	a, err := s.desk.SignAuthority(ctx, who.user, number, version)
	s.answer(c, ok(a), err)
}

// dryRunAssumes lists the assumptions of a dry run, which cannot look at the real device.
func dryRunAssumes() []string {
	return []string{
		"The EDR knows the device by the name given here; the real ruling also judges the EDR's own name for it.",
		"The EDR tells tags, unless tags_unknown is set; where it does not, rules that forbid or ask and selectors of assets for two persons by tag hold.",
		"The EDR tells domain controllers from other servers; where it does not, a server is ruled on as one that may be a domain controller.",
		"Isolation is not paused, and the client's limit of isolations within ten minutes is not reached.",
		"Whoever of the SOC asks has not made, changed or verified an approver; such an approver is not called.",
	}
}

func (s *server) DryRunResponseAuthority(c *gin.Context, number ClientNumber) {
	var body DryRun
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	ruling, approvers, err := s.desk.DryRun(ctx, who.user, number, authority.Request{
		Action: body.Action, Severity: cmp.Or(body.Severity, models.SeverityCritical),
		Asset: authority.Asset{Hostname: body.Hostname, Class: body.Class, Tags: body.Tags, TagsUnknown: body.TagsUnknown},
	}, body.At, body.Version)
	s.answer(c, ok(DryRunRuling{
		Decision: ruling.Decision, Rule: ruling.Rule, Version: ruling.Version, Persons: ruling.Persons, Approvers: approvers, Assumes: dryRunAssumes(),
	}), err)
}
