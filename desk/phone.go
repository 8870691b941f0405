package desk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/watchfire-mdr/watchfire/models"
)

// CheckCountries returns an error that names the countries whose numbering plan nobody knows: each is written as in ISO
// 3166, such as DE.
func CheckCountries(countries []string) error {
	known := phonenumbers.GetSupportedRegions()
	unknown := slices.DeleteFunc(slices.Clone(countries), func(c string) bool { return known[c] })
	if len(unknown) > 0 {
		return fmt.Errorf("PHONE_COUNTRIES names %s: set it to countries in two letters, such as DE,AT,CH", strings.Join(unknown, ", "))
	}
	return nil
}

// checkPhone checks a contact's number against its country's numbering plan, as far as Google's libphonenumber knows
// it, and that the provider calls such numbers. Only a verified channel proves that somebody answers there.
func (d *Desk) checkPhone(c models.Contact) error {
	if c.Phone == "" {
		return nil
	}
	n, err := phonenumbers.Parse(c.Phone, "") // no default country: only international form is read
	if err != nil {
		return models.InvalidField("/phone", "is not a phone number in international form")
	}
	if why := explainLength(n); why != "" {
		return models.InvalidField("/phone", "%s", why)
	}
	switch {
	case !phonenumbers.IsValidNumber(n):
		return models.InvalidField("/phone", "does not fit its country's numbering plan")
	case phonenumbers.Format(n, phonenumbers.E164) != c.Phone:
		return models.InvalidField("/phone", "is not in E.164 form: a plus, the country code, then the number without a leading zero or spaces")
	}
	if why := d.explainBarred(c.Phone); why != "" {
		return models.InvalidField("/phone", "%s", why)
	}
	if c.Has(models.ChannelSMS) && phonenumbers.GetNumberType(n) == phonenumbers.FIXED_LINE {
		return models.InvalidField("/channels", "must not hold sms: the phone number is a fixed line")
	}
	return nil
}

// explainLength returns what is wrong with the length of a number, or with its country, or "".
func explainLength(n *phonenumbers.PhoneNumber) string {
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.IS_POSSIBLE:
		return ""
	case phonenumbers.TOO_SHORT:
		return "is too short for a number of its country"
	case phonenumbers.TOO_LONG:
		return "is too long for a number of its country"
	case phonenumbers.INVALID_COUNTRY_CODE:
		return "has a country code that does not exist"
	default:
		return "does not have the length of a number of its country"
	}
}

// explainBarred returns why the provider takes no contact with a number, or "": the number belongs to no country, as
// those of satellites do, to one that is not allowed, or to a service instead of a person, which may cost any price.
func (d *Desk) explainBarred(phone string) string {
	n, err := phonenumbers.Parse(phone, "")
	if err != nil {
		return "is not a phone number in international form"
	}
	country := phonenumbers.GetRegionCodeForNumber(n)
	if !phonenumbers.GetSupportedRegions()[country] {
		return "belongs to no country"
	}
	if len(d.countries) > 0 && !slices.Contains(d.countries, country) {
		return "is of a country that is not called: " + country + "; the operator allows " + strings.Join(d.countries, ", ")
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE, phonenumbers.VOIP:
		return ""
	default:
		return "is not the number of a line or a mobile phone: services, free ones and those with a price of their own are not called"
	}
}

// allowedNumbers is the go-live check that every contact has a number that could be entered today. One that was entered
// before is called all the same: a setting never silences a contact of an incident.
func (d *Desk) allowedNumbers(contacts []models.Contact) models.GoLiveCheck {
	barred := []string{}
	for _, c := range contacts {
		if why := d.explainBarred(c.Phone); c.Phone != "" && why != "" {
			barred = append(barred, fmt.Sprintf("contact %s: the phone number %s", c.ID, why))
		}
	}
	return models.NewGoLiveCheck("allowed_numbers", barred)
}
