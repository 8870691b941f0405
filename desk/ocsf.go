package desk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// detectionFinding is the OCSF class that is normalised.
const detectionFinding = 2004

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
// 2004) becomes an alert whose Problem says why, and whose finding id is the SHA-256 of the body; of an event that is
// larger than an alert, Truncated says how much was left out. The caller sets client, source and the time of receipt;
// OccurredAt is zero when the event does not say.
func ReadOCSF(raw []byte) models.Alert {
	var e ocsfEvent
	dec := json.NewDecoder(bytes.NewReader(raw))
	err := dec.Decode(&e)
	a := models.Alert{
		FindingID: boundFindingID(strings.TrimSpace(e.Finding.UID)), Title: readTitle(e), Detail: models.CleanText(firstText(e.Finding.Desc, e.Message)),
		Severity: readSeverity(e.SeverityID), Techniques: readTechniques(e), Indicators: readIndicators(e), Hostnames: readHostnames(e),
		OccurredAt: readTime(e.Time),
	}
	a.Problem = explainUnreadable(e, err)
	if a.Problem == "" {
		a.Problem = explainAmbiguous(raw)
	}
	if a.Problem != "" {
		a.FindingID = hashOf(raw)
	}
	return boundAlert(a)
}

// explainUnreadable returns why an event is not a readable Detection Finding, or "".
func explainUnreadable(e ocsfEvent, err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return "the field " + wrong.Field + " has an unexpected type"
	case err != nil:
		return "it is not an OCSF event"
	case e.ClassUID == "":
		return "it has no class_uid, so it is not an OCSF event"
	case e.ClassUID.String() != strconv.Itoa(detectionFinding):
		return "class_uid is not 2004 (Detection Finding)"
	case models.IsBlank(e.Finding.UID):
		return "it has no finding_info.uid"
	}
	return ""
}

// hashOf returns the finding id of an alert whose source gave none that can be kept.
func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// explainAmbiguous returns which member two readers of an event would read differently, or "": one that is given twice,
// or whose name is written in another case. encoding/json takes the last of them, and every case; what an event has
// besides the members that are read here is not judged.
func explainAmbiguous(raw []byte) string {
	member, fault := findAmbiguous(json.NewDecoder(bytes.NewReader(raw)), reflect.TypeFor[ocsfEvent]())
	if fault == "" {
		return ""
	}
	return "the member " + member + " " + fault
}

// findAmbiguous reads one value, which is to become one of a type. It returns the first member that is at fault; its name
// is made on the way back, so that an event without one costs none.
func findAmbiguous(dec *json.Decoder, as reflect.Type) (member, fault string) {
	if as == nil || as.Kind() != reflect.Struct && as.Kind() != reflect.Slice {
		var unread json.RawMessage
		_ = dec.Decode(&unread) // that the event is valid JSON is known
		return "", ""
	}
	open, err := dec.Token()
	if _, more := open.(json.Delim); err != nil || !more {
		return "", ""
	}
	seen := map[string]bool{}
	for n := 0; dec.More(); n++ {
		var below reflect.Type
		name := ""
		if open == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return "", ""
			}
			written, _ := token.(string)
			name, below = memberOf(as, written)
			switch {
			case name != "" && name != written:
				return name, "is written in another case"
			case name != "" && seen[name]:
				return name, "is given twice"
			case name != "":
				seen[name] = true
			}
		} else if as.Kind() == reflect.Slice {
			below = as.Elem()
		}
		if member, fault := findAmbiguous(dec, below); fault != "" {
			if open == json.Delim('[') {
				name = strconv.Itoa(n)
			}
			return name + "." + member, fault
		}
	}
	_, _ = dec.Token() // the end
	return "", ""
}

// memberOf returns the name and the type of the field that encoding/json would write a member to, "" for none.
func memberOf(as reflect.Type, name string) (string, reflect.Type) {
	if as.Kind() != reflect.Struct {
		return "", nil
	}
	for n := range as.NumField() {
		if known := as.Field(n).Tag.Get("json"); strings.EqualFold(known, name) {
			return known, as.Field(n).Type
		}
	}
	return "", nil
}

func readTitle(e ocsfEvent) string {
	return firstText(cleanLine(e.Finding.Title), cleanLine(e.Message), noTitle)
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
	ids := []string{}
	for _, a := range slices.Concat(e.Finding.Attacks, e.Attacks) {
		id := firstText(a.SubTechnique.UID, a.Technique.UID)
		if attackID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func readIndicators(e ocsfEvent) []models.Indicator {
	found := []models.Indicator{}
	add := func(kind, value string) {
		if kind != "" {
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
	return found
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
	return names
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

func firstText(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
