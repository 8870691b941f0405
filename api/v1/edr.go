package v1

import "context"

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
