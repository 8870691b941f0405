package v1

import (
	"context"
	"net/http"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// command hands a command to the desk. A command without a body is an empty one.
func (s *server) command(ctx context.Context, ref models.Reference, key string, c incident.Command) (reply, error) {
	ctx, who := called(ctx)
	a, queued, err := s.desk.Command(ctx, who.user, via, ref, c, key)
	if err != nil {
		return reply{}, err
	}
	if queued {
		return reply{status: http.StatusAccepted, body: a}, nil
	}
	return ok(a), nil
}

// orEmpty returns the command in a request's body, or an empty one.
func orEmpty[T any](body *T) *T {
	if body == nil {
		return new(T)
	}
	return body
}

// Assess records what the SOC knows.
func (s *server) Assess(ctx context.Context, r AssessRequestObject) (AssessResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Publish publishes revision 1.
func (s *server) Publish(ctx context.Context, r PublishRequestObject) (PublishResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Expedite publishes now.
func (s *server) Expedite(ctx context.Context, r ExpediteRequestObject) (ExpediteResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Revise publishes the next revision.
func (s *server) Revise(ctx context.Context, r ReviseRequestObject) (ReviseResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Dismiss ends an investigation that found no threat.
func (s *server) Dismiss(ctx context.Context, r DismissRequestObject) (DismissResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Comment says something to the other side.
func (s *server) Comment(ctx context.Context, r CommentRequestObject) (CommentResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// AskQuestion asks the client something.
func (s *server) AskQuestion(ctx context.Context, r AskQuestionRequestObject) (AskQuestionResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// AnswerQuestion is the client's answer.
func (s *server) AnswerQuestion(ctx context.Context, r AnswerQuestionRequestObject) (AnswerQuestionResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Recommend advises the client.
func (s *server) Recommend(ctx context.Context, r RecommendRequestObject) (RecommendResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// SettleRecommendation ends a recommendation.
func (s *server) SettleRecommendation(ctx context.Context, r SettleRecommendationRequestObject) (SettleRecommendationResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// RecommendResponseTeam says whether to engage a response team.
func (s *server) RecommendResponseTeam(ctx context.Context, r RecommendResponseTeamRequestObject) (RecommendResponseTeamResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Isolate asks for an endpoint to be isolated.
func (s *server) Isolate(ctx context.Context, r IsolateRequestObject) (IsolateResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Release asks for an isolation to be lifted.
func (s *server) Release(ctx context.Context, r ReleaseRequestObject) (ReleaseResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// KeepIsolated leaves an endpoint isolated after closure.
func (s *server) KeepIsolated(ctx context.Context, r KeepIsolatedRequestObject) (KeepIsolatedResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Approve agrees that an endpoint is isolated or released.
func (s *server) Approve(ctx context.Context, r ApproveRequestObject) (ApproveResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Deny refuses that an endpoint is isolated or released.
func (s *server) Deny(ctx context.Context, r DenyRequestObject) (DenyResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// ExtendIsolation leaves an endpoint isolated for another while.
func (s *server) ExtendIsolation(ctx context.Context, r ExtendIsolationRequestObject) (ExtendIsolationResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Acknowledge says that a person of the client has it in hand.
func (s *server) Acknowledge(ctx context.Context, r AcknowledgeRequestObject) (AcknowledgeResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// CompleteTask ends a task of the SOC.
func (s *server) CompleteTask(ctx context.Context, r CompleteTaskRequestObject) (CompleteTaskResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// Verify says whether the threat is gone.
func (s *server) Verify(ctx context.Context, r VerifyRequestObject) (VerifyResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// RequestClosure asks for the incident to be closed.
func (s *server) RequestClosure(ctx context.Context, r RequestClosureRequestObject) (RequestClosureResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// ConfirmClosure closes, accepting the risk.
func (s *server) ConfirmClosure(ctx context.Context, r ConfirmClosureRequestObject) (ConfirmClosureResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// WithdrawClosure takes the request to close back.
func (s *server) WithdrawClosure(ctx context.Context, r WithdrawClosureRequestObject) (WithdrawClosureResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}

// GiveFeedback rates how the incident was handled.
func (s *server) GiveFeedback(ctx context.Context, r GiveFeedbackRequestObject) (GiveFeedbackResponseObject, error) {
	return s.command(ctx, r.Reference, r.Params.IdempotencyKey, orEmpty(r.Body))
}
