package v1

import (
	"context"
	"net/http"
)

// ListEdrProducts lists the products a client's EDR may be.
func (s *server) ListEdrProducts(ctx context.Context, _ ListEdrProductsRequestObject) (ListEdrProductsResponseObject, error) {
	_, who := called(ctx)
	list, err := s.desk.EDRProducts(who.user)
	return ok(EDRProductList{Items: list}), err
}

// GetEdr says what is known of a client's EDR.
func (s *server) GetEdr(ctx context.Context, r GetEdrRequestObject) (GetEdrResponseObject, error) {
	ctx, who := called(ctx)
	status, err := s.desk.EDR(ctx, who.user, r.Number)
	return ok(status), err
}

// RemoveEdrCredentials takes back what a client's EDR is reached with.
func (s *server) RemoveEdrCredentials(ctx context.Context, r RemoveEdrCredentialsRequestObject) (RemoveEdrCredentialsResponseObject, error) {
	ctx, who := called(ctx)
	return reply{status: http.StatusNoContent}, s.desk.RemoveEDRCredentials(ctx, who.user, r.Number)
}

// SetEdrCredentials takes what a client's EDR is reached with.
func (s *server) SetEdrCredentials(ctx context.Context, r SetEdrCredentialsRequestObject) (SetEdrCredentialsResponseObject, error) {
	ctx, who := called(ctx)
	edr, err := s.desk.SetEDRCredentials(ctx, who.user, r.Number, *r.Body)
	return ok(edr), err
}

// CheckEdrConnection tries the connection to a client's EDR.
func (s *server) CheckEdrConnection(ctx context.Context, r CheckEdrConnectionRequestObject) (CheckEdrConnectionResponseObject, error) {
	ctx, who := called(ctx)
	check, err := s.desk.CheckEDRConnection(ctx, who.user, r.Number)
	return ok(check), err
}
