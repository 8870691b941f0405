package v1

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// reply is the answer of every operation: a status and a body. The generated code wants a method per operation.
type reply struct {
	status   int
	body     any    // written as JSON, unless it is raw
	raw      []byte // written as it is
	location string // for what was made
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

func (r reply) write(w http.ResponseWriter) error {
	if r.status == http.StatusNoContent {
		w.WriteHeader(r.status)
		return nil
	}
	body := r.raw
	if body == nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if r.location != "" {
		w.Header().Set("Location", r.location)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // a caller that went away is no error of ours
	return nil
}

// VisitAcknowledgeResponse writes the answer.
func (r reply) VisitAcknowledgeResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRecommendResponseTeamResponse writes the answer.
func (r reply) VisitRecommendResponseTeamResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitAnswerQuestionResponse writes the answer.
func (r reply) VisitAnswerQuestionResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitApproveResponse writes the answer.
func (r reply) VisitApproveResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitAskQuestionResponse writes the answer.
func (r reply) VisitAskQuestionResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitAssessResponse writes the answer.
func (r reply) VisitAssessResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCheckEdrConnectionResponse writes the answer.
func (r reply) VisitCheckEdrConnectionResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitPauseIsolationResponse writes the answer.
func (r reply) VisitPauseIsolationResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitResumeIsolationResponse writes the answer.
func (r reply) VisitResumeIsolationResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCheckGoLiveResponse writes the answer.
func (r reply) VisitCheckGoLiveResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCommentResponse writes the answer.
func (r reply) VisitCommentResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCompleteTaskResponse writes the answer.
func (r reply) VisitCompleteTaskResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitConfirmChannelResponse writes the answer.
func (r reply) VisitConfirmChannelResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitConfirmClosureResponse writes the answer.
func (r reply) VisitConfirmClosureResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCreateClientResponse writes the answer.
func (r reply) VisitCreateClientResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitCreateContactResponse writes the answer.
func (r reply) VisitCreateContactResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitDismissResponse writes the answer.
func (r reply) VisitDismissResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitDraftResponseAuthorityResponse writes the answer.
func (r reply) VisitDraftResponseAuthorityResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitDryRunResponseAuthorityResponse writes the answer.
func (r reply) VisitDryRunResponseAuthorityResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitExpediteResponse writes the answer.
func (r reply) VisitExpediteResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitExtendIsolationResponse writes the answer.
func (r reply) VisitExtendIsolationResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetAlertResponse writes the answer.
func (r reply) VisitGetAlertResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetAlertRawResponse writes the answer.
func (r reply) VisitGetAlertRawResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetCallerCodeResponse writes the answer.
func (r reply) VisitGetCallerCodeResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetClientResponse writes the answer.
func (r reply) VisitGetClientResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetDrillReportResponse writes the answer.
func (r reply) VisitGetDrillReportResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetEdrResponse writes the answer.
func (r reply) VisitGetEdrResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetIncidentResponse writes the answer.
func (r reply) VisitGetIncidentResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetPlanResponse writes the answer.
func (r reply) VisitGetPlanResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetResponseAuthorityResponse writes the answer.
func (r reply) VisitGetResponseAuthorityResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGetRevisionResponse writes the answer.
func (r reply) VisitGetRevisionResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitGiveFeedbackResponse writes the answer.
func (r reply) VisitGiveFeedbackResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitIsolateResponse writes the answer.
func (r reply) VisitIsolateResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitKeepIsolatedResponse writes the answer.
func (r reply) VisitKeepIsolatedResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListAlertsResponse writes the answer.
func (r reply) VisitListAlertsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListAuditLogResponse writes the answer.
func (r reply) VisitListAuditLogResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListClientsResponse writes the answer.
func (r reply) VisitListClientsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListContactDeliveriesResponse writes the answer.
func (r reply) VisitListContactDeliveriesResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListContactsResponse writes the answer.
func (r reply) VisitListContactsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListDeliveriesResponse writes the answer.
func (r reply) VisitListDeliveriesResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListEdrProductsResponse writes the answer.
func (r reply) VisitListEdrProductsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListEventsResponse writes the answer.
func (r reply) VisitListEventsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListIncidentsResponse writes the answer.
func (r reply) VisitListIncidentsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListRevisionsResponse writes the answer.
func (r reply) VisitListRevisionsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitOpenIncidentResponse writes the answer.
func (r reply) VisitOpenIncidentResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitPublishResponse writes the answer.
func (r reply) VisitPublishResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitReceiveAlertResponse writes the answer.
func (r reply) VisitReceiveAlertResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitReceiveOcsfResponse writes the answer.
func (r reply) VisitReceiveOcsfResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRecommendResponse writes the answer.
func (r reply) VisitRecommendResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitDenyResponse writes the answer.
func (r reply) VisitDenyResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitReleaseResponse writes the answer.
func (r reply) VisitReleaseResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRemoveContactResponse writes the answer.
func (r reply) VisitRemoveContactResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRemoveEdrCredentialsResponse writes the answer.
func (r reply) VisitRemoveEdrCredentialsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRequestClosureResponse writes the answer.
func (r reply) VisitRequestClosureResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitReviseResponse writes the answer.
func (r reply) VisitReviseResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitSetEdrCredentialsResponse writes the answer.
func (r reply) VisitSetEdrCredentialsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitSettleRecommendationResponse writes the answer.
func (r reply) VisitSettleRecommendationResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitSignResponseAuthorityResponse writes the answer.
func (r reply) VisitSignResponseAuthorityResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitStartFireDrillResponse writes the answer.
func (r reply) VisitStartFireDrillResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitTestChannelResponse writes the answer.
func (r reply) VisitTestChannelResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitUpdateClientResponse writes the answer.
func (r reply) VisitUpdateClientResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitUpdateContactResponse writes the answer.
func (r reply) VisitUpdateContactResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitVerifyResponse writes the answer.
func (r reply) VisitVerifyResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitVerifyChannelResponse writes the answer.
func (r reply) VisitVerifyChannelResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitWithdrawClosureResponse writes the answer.
func (r reply) VisitWithdrawClosureResponse(w http.ResponseWriter) error { return r.write(w) }
