package desk

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Authorities lists the versions of the response authority of the client with a number, the newest first, with the
// people who drafted and signed them and the version that holds, 0 for none. NotFound also when the client is not the
// user's.
func (d *Desk) Authorities(ctx context.Context, u models.User, number int,
) (list []authority.Authority, who models.People, holds int, err error) {
	if err := auth.Allow("get-response-authority", u.Role); err != nil {
		return nil, nil, 0, err
	}
	err = d.inClient(ctx, u, number)(func(tx *store.Tx) (err error) {
		if list, err = tx.Authorities(); err != nil {
			return err
		}
		who, err = readPeople(tx, actorsOf(list))
		return err
	})
	signed := slices.IndexFunc(list, func(a authority.Authority) bool { return !a.SignedAt.IsZero() })
	if signed >= 0 {
		holds = list[signed].Version
	}
	return list, who, holds, err
}

// DraftAuthority adds the next version of the response authority of the client with a number: the rules and lists of a.
// The version holds once the client signs it. The same key again returns the same version.
func (d *Desk) DraftAuthority(ctx context.Context, u models.User, number int, a authority.Authority, key string,
) (made authority.View, err error) {
	if err := auth.Allow("draft-response-authority", u.Role); err != nil {
		return made, err
	}
	if err := cmp.Or(a.Check(), models.CheckTexts(a)); err != nil {
		return made, err
	}
	draft := authorityContent(a)
	draft.DraftedBy = u.ID
	err = d.changeSettings(ctx, u, number, "draft-response-authority", func(tx *store.Tx) (_ string, fields []string, err error) {
		list, err := tx.Authorities()
		if err != nil {
			return "", nil, err
		}
		latest := authority.Authority{}
		if len(list) > 0 {
			latest = list[0]
		}
		draft.DraftedAt = tx.Now()
		if made.Authority, err = tx.DraftAuthority(draft, requestID(u, "draft-response-authority", key)); err != nil {
			return "", nil, err
		}
		if made.People, err = readPeople(tx, made.Actors()); err != nil || made.Version <= latest.Version { // an earlier try of this request made it
			return "", nil, err
		}
		if fields, err = differences(authorityContent(latest), authorityContent(made.Authority)); err != nil {
			return "", nil, err
		}
		return strconv.Itoa(made.Version), append(fields, "version"), nil
	})
	if err != nil {
		return authority.View{}, err
	}
	asked, err := canonicalJSON(authorityContent(a))
	if err != nil {
		return authority.View{}, err
	}
	if known, err := canonicalJSON(authorityContent(made.Authority)); err != nil || string(known) != string(asked) {
		return authority.View{}, keyReused()
	}
	return made, nil
}

// authorityContent returns the rules and lists of a version alone. The lists are never nil.
func authorityContent(a authority.Authority) authority.Authority {
	return authority.Authority{
		Rules: append([]authority.Rule{}, a.Rules...), Never: append([]string{}, a.Never...), TwoPersons: append([]authority.AssetSelector{}, a.TwoPersons...),
	}
}

// SignAuthority signs a version of the response authority of the user's own client; from then on it holds. Signing it
// again changes nothing. NotFound: the version does not exist, or the client is not the user's. Conflict: a newer
// version is signed, or the user is of the SOC.
func (d *Desk) SignAuthority(ctx context.Context, u models.User, number, version int) (authority.View, error) {
	var signed authority.View
	if err := auth.Allow("sign-response-authority", u.Role); err != nil {
		return signed, err
	}
	err := d.changeSettings(ctx, u, number, "sign-response-authority", func(tx *store.Tx) (_ string, fields []string, err error) {
		list, err := tx.Authorities()
		if err != nil {
			return "", nil, err
		}
		if signed.Authority, err = tx.SignAuthority(version, u.ID, tx.Now()); err != nil {
			return "", nil, err
		}
		if signed.People, err = readPeople(tx, signed.Actors()); err != nil {
			return "", nil, err
		}
		for _, before := range list {
			if before.Version == version && before.SignedAt.IsZero() {
				fields = []string{"signed_at", "signed_by"}
			}
		}
		return strconv.Itoa(version), fields, nil
	})
	return signed, err
}

// DryRun returns the ruling of the response authority of the client with a number on a request that nobody has made, and
// how many approvers would be called about it, whose consent would count. at is read as Plan reads it. version is the one to try, signed or not; 0 is
// the one that holds. NotFound: the version does not exist, or the client is not the user's.
func (d *Desk) DryRun(ctx context.Context, u models.User, number int, r authority.Request, at string, version int,
) (ruling authority.Ruling, approvers int, err error) {
	if err := auth.Allow("dry-run-response-authority", u.Role); err != nil {
		return ruling, 0, err
	}
	people, err := d.noApprovers(ctx, u, number)
	if err != nil {
		return ruling, 0, err
	}
	err = d.inClient(ctx, u, number)(func(tx *store.Tx) error {
		directory, err := tx.Directory()
		if err != nil {
			return err
		}
		if r.At, err = momentIn(directory.Zone, at, tx.Now()); err != nil {
			return err
		}
		a, err := versionToTry(tx, version)
		if err != nil {
			return err
		}
		if ruling = a.Evaluate(r, directory.Zone, directory.Business); ruling.Decision.Asks() {
			approvers = notify.People(directory.CallableApprovers(people.Among(directory.Contacts), ruling.Persons, r.Severity, r.At), ruling.Persons)
		}
		return nil
	})
	return ruling, approvers, err
}

// versionToTry returns a version as if it were signed, or with 0 the one that holds.
func versionToTry(tx *store.Tx, version int) (authority.Authority, error) {
	if version == 0 {
		return tx.Authority()
	}
	list, err := tx.Authorities()
	if err != nil {
		return authority.Authority{}, err
	}
	n := slices.IndexFunc(list, func(a authority.Authority) bool { return a.Version == version })
	if n < 0 {
		return authority.Authority{}, &models.Error{Kind: models.NotFound, Field: "/version", Message: "version not found"}
	}
	list[n].SignedAt = tx.Now()
	return list[n], nil
}
