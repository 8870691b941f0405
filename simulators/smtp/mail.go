package smtp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"
)

// mail is a mail that the server took, as one recipient finds it.
type mail struct {
	MessageID  string            `json:"message_id"` // with its angle brackets
	Subject    string            `json:"subject"`    // decoded
	From       string            `json:"from"`
	To         string            `json:"to"`         // the header, not the envelope
	References string            `json:"references"` // "" when the mail answers none
	Headers    map[string]string `json:"headers"`    // decoded; a comma joins the values of a repeated one
	Text       string            `json:"text"`       // lines end with a line feed only
	HTML       string            `json:"html"`       // "" when there is none
	At         time.Time         `json:"at"`
	Persona    string            `json:"persona"`
}

var messageIDForm = regexp.MustCompile(`^<[^<>@\s]+@[^<>@\s]+>$`)

// readMail parses a mail. The error is the reason why no correct client sends it (RFC 5322).
// Only one that asked for SMTPUTF8 may have other characters than ASCII in its header.
func readMail(raw []byte, utf8 bool) (*mail, error) {
	parsed, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, errors.New("the mail cannot be read")
	}
	if err := checkMailHeader(parsed.Header, utf8); err != nil {
		return nil, err
	}
	m := &mail{Headers: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(parsed.Header)) {
		value, err := new(mime.WordDecoder).DecodeHeader(strings.Join(parsed.Header[name], ", "))
		if err != nil {
			return nil, fmt.Errorf("the header %s cannot be decoded", name)
		}
		m.Headers[name] = value
	}
	m.MessageID, m.Subject, m.References = m.Headers["Message-Id"], m.Headers["Subject"], m.Headers["References"]
	m.From, m.To = m.Headers["From"], m.Headers["To"]
	if err := m.readPart(textproto.MIMEHeader(parsed.Header), parsed.Body); err != nil {
		return nil, err
	}
	if strings.TrimSpace(m.Text) == "" {
		return nil, errors.New("the mail has no text/plain")
	}
	return m, nil
}

func checkMailHeader(h netmail.Header, utf8 bool) error {
	for _, name := range []string{"Message-Id", "From", "To", "Date", "Subject"} {
		if len(h[name]) != 1 || strings.TrimSpace(h.Get(name)) == "" {
			return fmt.Errorf("a mail has exactly one %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.ContainsFunc(strings.Join(h[name], ""), func(r rune) bool { return !utf8 && r > '~' || (r < ' ' && r != '\t') }) {
			return fmt.Errorf("the header %s is not plain ASCII", name)
		}
	}
	if !messageIDForm.MatchString(h.Get("Message-Id")) {
		return errors.New("the Message-Id is not valid")
	}
	if _, err := h.Date(); err != nil {
		return errors.New("the Date is not valid")
	}
	for _, name := range []string{"From", "To"} {
		if _, err := h.AddressList(name); err != nil {
			return fmt.Errorf("%s holds no mail address", name)
		}
	}
	return nil
}

// readPart takes the text and the HTML out of a part and of the parts inside it.
func (m *mail) readPart(h textproto.MIMEHeader, body io.Reader) error {
	kind, params := "text/plain", map[string]string{}
	if given := h.Get("Content-Type"); given != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(given); err != nil {
			return errors.New("a Content-Type is not valid")
		}
	}
	if strings.HasPrefix(kind, "multipart/") {
		return m.readParts(multipart.NewReader(body, params["boundary"]))
	}
	if kind != "text/plain" && kind != "text/html" {
		return nil // an attachment
	}
	if charset := strings.ToLower(params["charset"]); !slices.Contains([]string{"", "us-ascii", "utf-8"}, charset) {
		return errors.New("a text is neither ASCII nor UTF-8")
	}
	decoded, err := decodePart(h.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	switch {
	case kind == "text/plain" && m.Text == "":
		m.Text = decoded
	case kind == "text/html" && m.Text == "":
		return errors.New("text/plain must come before text/html")
	case kind == "text/html" && m.HTML == "":
		m.HTML = decoded
	}
	return nil
}

func (m *mail) readParts(parts *multipart.Reader) error {
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF { // a wrapped EOF means that the last boundary is missing
			return nil
		}
		if err != nil {
			return errors.New("the parts of the mail cannot be told apart")
		}
		if err := m.readPart(part.Header, part); err != nil {
			return err
		}
	}
}

func decodePart(encoding string, body io.Reader) (string, error) {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit":
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		return "", errors.New("the encoding of a text is not known")
	}
	decoded, err := io.ReadAll(body)
	if err != nil {
		return "", errors.New("a text cannot be decoded")
	}
	return strings.ReplaceAll(string(decoded), "\r\n", "\n"), nil
}
