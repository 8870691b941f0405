package models

import "time"

// Duration is a time.Duration written in JSON as Go writes it, such as "30s" or "72h0m0s".
type Duration time.Duration

// MarshalText writes the duration as Go writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return InvalidField("", "is not a duration such as 30s or 72h")
	}
	*d = Duration(v)
	return nil
}
