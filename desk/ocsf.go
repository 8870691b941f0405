package desk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/models"
)

// detectionFinding is the OCSF class that is normalised.
const detectionFinding = 2004

// Bounds of the texts that people read, in bytes. The body itself is kept whole.
const (
	maxTitle     = 200
	maxDetail    = 16 << 10
	maxValue     = 500
	maxFindingID = 500
	maxEntries   = 100
)

// noTitle is the title of a finding without one.
const noTitle = "Finding without a title"

// ocsfEvent has the fields that Watchfire reads of an OCSF event. An attacker may have written each of them.
type ocsfEvent struct {
	ClassUID   json.Number `json:"class_uid"`
	SeverityID json.Number `json:"severity_id"`
	Time       json.Number `json:"time"` // milliseconds; some sources send seconds
	Message    string      `json:"message"`
	Finding    struct {
		UID     string       `json:"uid"`
		Title   string       `json:"title"`
		Desc    string       `json:"desc"`
		Attacks []ocsfAttack `json:"attacks"`
	} `json:"finding_info"`
	Attacks     []ocsfAttack `json:"attacks"`
	Observables []struct {
		TypeID json.Number `json:"type_id"`
		Value  string      `json:"value"`
	} `json:"observables"`
	Device    ocsfHost   `json:"device"`
	Resources []ocsfHost `json:"resources"`
	Evidences []struct {
		Device ocsfHost     `json:"device"`
		Source ocsfEndpoint `json:"src_endpoint"`
		Target ocsfEndpoint `json:"dst_endpoint"`
	} `json:"evidences"`
}

type ocsfAttack struct {
	Technique    ocsfID `json:"technique"`
	SubTechnique ocsfID `json:"sub_technique"`
}

type ocsfID struct {
	UID string `json:"uid"`
}

type ocsfHost struct {
	Hostname string `json:"hostname"`
}

type ocsfEndpoint struct {
	IP       string `json:"ip"`
	Hostname string `json:"hostname"`
}

// ReadOCSF makes an alert of an OCSF event. It never fails: an event that is not a readable Detection Finding (class
// 2004) becomes an alert whose Problem says why, and whose finding id is the SHA-256 of the body. The caller sets
// client, source and the time of receipt; OccurredAt is zero when the event does not say.
func ReadOCSF(raw []byte) models.Alert {
	var e ocsfEvent
	dec := json.NewDecoder(bytes.NewReader(raw))
	err := dec.Decode(&e)
	a := models.Alert{
		FindingID: readFindingID(e.Finding.UID), Title: readTitle(e), Detail: cleanText(firstText(e.Finding.Desc, e.Message), maxDetail),
		Severity: readSeverity(e.SeverityID), Techniques: readTechniques(e), Indicators: readIndicators(e), Hostnames: readHostnames(e),
		OccurredAt: readTime(e.Time),
	}
	a.Problem = explainUnreadable(e, err)
	if a.Problem != "" {
		h := sha256.Sum256(raw)
		a.FindingID = "sha256:" + hex.EncodeToString(h[:])
	}
	return a
}

// explainUnreadable returns why an event is not a readable Detection Finding, or "".
func explainUnreadable(e ocsfEvent, err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return "the field " + cleanText(wrong.Field, maxValue) + " has an unexpected type"
	case err != nil:
		return "it is not an OCSF event"
	case e.ClassUID == "":
		return "it has no class_uid, so it is not an OCSF event"
	case e.ClassUID.String() != strconv.Itoa(detectionFinding):
		return "class_uid is not 2004 (Detection Finding)"
	case cleanText(e.Finding.UID, maxFindingID) == "":
		return "it has no finding_info.uid"
	}
	return ""
}

func readFindingID(uid string) string {
	if clean := cleanText(uid, maxFindingID+1); len(clean) <= maxFindingID {
		return clean
	}
	h := sha256.Sum256([]byte(uid)) // two long ids must not become the same by being cut
	return "sha256:" + hex.EncodeToString(h[:])
}

func readTitle(e ocsfEvent) string {
	return firstText(cleanText(oneLine(e.Finding.Title), maxTitle), cleanText(oneLine(e.Message), maxTitle), noTitle)
}

func readSeverity(id json.Number) models.Severity {
	switch id.String() {
	case "5", "6":
		return models.SeverityCritical
	case "4":
		return models.SeverityHigh
	case "3":
		return models.SeverityMedium
	default:
		return models.SeverityLow
	}
}

var attackID = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

func readTechniques(e ocsfEvent) []string {
	var ids []string
	for _, a := range slices.Concat(e.Finding.Attacks, e.Attacks) {
		id := firstText(a.SubTechnique.UID, a.Technique.UID)
		if attackID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return keepDistinct(ids)
}

func readIndicators(e ocsfEvent) []models.Indicator {
	var found []models.Indicator
	add := func(kind, value string) {
		if value = cleanText(oneLine(value), maxValue); value != "" && kind != "" {
			found = append(found, models.Indicator{Type: kind, Value: value})
		}
	}
	for _, o := range e.Observables {
		add(indicatorType(o.TypeID, o.Value), o.Value)
	}
	for _, v := range e.Evidences {
		add("ip", v.Source.IP)
		add("ip", v.Target.IP)
	}
	return keepDistinct(found)
}

// indicatorType translates OCSF's observable types. It returns "" for one that is not an indicator, such as a user's
// name.
func indicatorType(id json.Number, value string) string {
	switch id.String() {
	case "1":
		return "domain"
	case "2":
		return "ip"
	case "5":
		return "email"
	case "6":
		return "url"
	case "7":
		return "file_name"
	case "8":
		if b, err := hex.DecodeString(value); err == nil && len(b) == sha256.Size {
			return "sha256"
		}
		return "other"
	}
	return ""
}

func readHostnames(e ocsfEvent) []string {
	names := []string{e.Device.Hostname}
	for _, r := range e.Resources {
		names = append(names, r.Hostname)
	}
	for _, v := range e.Evidences {
		names = append(names, v.Device.Hostname, v.Source.Hostname)
	}
	for n := range names {
		names[n] = cleanText(oneLine(names[n]), maxValue)
	}
	return keepDistinct(slices.DeleteFunc(names, func(s string) bool { return s == "" }))
}

// readTime reads a time in milliseconds, or in seconds when it would otherwise lie before 1973.
func readTime(n json.Number) time.Time {
	const leastMillis, mostMillis = 1e11, 4e12 // to the year 2096
	f, err := n.Float64()
	switch {
	case err != nil || f <= 0 || f > mostMillis:
		return time.Time{}
	case f < leastMillis:
		return time.Unix(int64(f), 0).UTC()
	}
	return time.UnixMilli(int64(f)).UTC()
}

// cleanText makes a text fit to store and show: valid, without control characters, at most limit bytes.
func cleanText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= limit {
		return strings.TrimSpace(s)
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimSpace(s[:limit])
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func firstText(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// keepDistinct keeps the first of equal entries, at most maxEntries of them.
func keepDistinct[T comparable](all []T) []T {
	seen := map[T]bool{}
	kept := []T{}
	for _, v := range all {
		if !seen[v] && len(kept) < maxEntries {
			seen[v] = true
			kept = append(kept, v)
		}
	}
	return kept
}
