package smtp

import (
	"errors"
	"net/textproto"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/watchfire-mdr/watchfire/models"
)

// notOpened turns an error before the message into ours. Its cause is left out where it may
// quote the server, which may quote us.
func (d *delivery) notOpened(err error) *models.VendorError {
	f := d.op.Failed(models.Transient, "")
	var answer *textproto.Error
	var garbled textproto.ProtocolError
	answered, loggingIn := errors.As(err, &answer), d.login != nil && d.login.begun
	if answered {
		f.Code = strconv.Itoa(answer.Code)
	}
	if loggingIn && (d.login.impossible || answered && answer.Code/100 == 5) {
		f.Class = models.Config
	}
	switch {
	case d.ctx.Err() != nil:
		f.Cause = d.ctx.Err()
	case loggingIn && d.login.impossible:
		f.Code = "no_login"
	case !answered && !loggingIn && !errors.As(err, &garbled):
		f.Cause = err
	}
	return f
}

// notHanded turns an error with the message into ours. The library's error is no cause: it holds
// addresses.
func (d *delivery) notHanded(err error) *models.VendorError {
	f := d.op.Failed(models.Ambiguous, "")
	f.Cause = d.ctx.Err()
	var answer *gomail.SendError
	if errors.As(err, &answer) {
		f.Class = classOf(answer.Reason, answer.ErrorCode())
		f.Code = codeOf(answer)
	}
	return f
}

// classOf returns what a failed step means. code is the server's answer to it, 0 when there was
// none that can be used.
func classOf(step gomail.SendErrReason, code int) models.VendorClass {
	switch {
	case step == gomail.ErrWriteContent: // not ended by us; the server's use of it is unknown
		return models.Ambiguous
	case code == 530 || code == 534 || code == 535 || code == 538: // RFC 4954: log in, or log in otherwise
		return models.Config
	case code/100 == 4:
		return models.Transient
	case code/100 == 5 && step == gomail.ErrSMTPMailFrom: // our sender, whoever is written to
		return models.Config
	case code/100 == 5:
		return models.Rejected
	}
	switch step {
	case gomail.ErrConnCheck, gomail.ErrSMTPMailFrom, gomail.ErrSMTPRcptTo, gomail.ErrSMTPData:
		return models.Transient // cut off before the message
	}
	return models.Ambiguous
}

// codeOf returns the server's numbers without its words, such as "550 5.1.1" (RFC 3463).
func codeOf(answer *gomail.SendError) string {
	if answer.ErrorCode() == 0 {
		return ""
	}
	return strings.TrimSpace(strconv.Itoa(answer.ErrorCode()) + " " + answer.EnhancedStatusCode())
}
