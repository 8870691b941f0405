package twilio

import (
	"strconv"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// failure turns an exchange into an error. The SDK's own error is not consulted: it holds
// numbers and URLs, and has no status when the body is not JSON.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	f.RequestID = ex.Header().Get("Twilio-Request-Id")
	var body struct {
		Code int `json:"code"`
	}
	if !ex.OK() && ex.Decode(&body) == nil && body.Code != 0 {
		f.Code = strconv.Itoa(body.Code)
		f.Class = classOfCode(body.Code, f.Class)
	}
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}

// classOfCode corrects the class where Twilio's code says more than the HTTP status. The codes
// are those of twilio.com/docs/api/errors.
func classOfCode(code int, byStatus models.VendorClass) models.VendorClass {
	switch code {
	case 20429, 10004, 21611: // too many requests, calls at once, texts in the queue: never processed
		return models.Throttled
	case 21205, 21210, 21212, 21601, 21606, 21609, 21659, 21660, 21661: // our URL or our number is wrong, whoever is reached
		return models.Config
	case 21211, 21214, 21215, 21216, 21217: // this number is invalid, unreachable or not permitted
		return models.Rejected
	case 21408, 21610, 21612, 21614, 21635: // no texts to this region, opted out, no route, not a mobile
		return models.Rejected
	}
	return byStatus
}
