package natskv

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// errConflict: the key has another revision than the one that a write was to replace.
var errConflict = errors.New("another revision")

// classify says what an error of the server or the connection means.
func classify(err error, doing string) error {
	var se *syncline.Error
	var api *jetstream.APIError
	switch {
	case errors.As(err, &se):
		return err
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return syncline.Errorf(syncline.Rejected, "value_too_large", "%s: the record is larger than the NATS server or the bucket allows", doing).
			WithFix("drop columns in the rule's transform, or raise the server's max_payload and the bucket's max value size")
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrPermissionViolation):
		return connectError(err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return syncline.Errorf(syncline.Fatal, "natskv_no_jetstream", "%s: %w", doing, err).
			WithFix("enable JetStream on the NATS server and for the account")
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "%s: the bucket is gone, and the cursor with it", doing).
			WithFix("find out who removed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case errors.As(err, &api):
		return syncline.Errorf(syncline.Transient, "natskv_error", "%s: the NATS server answered %d: %w", doing, api.ErrorCode, err)
	}
	return syncline.Errorf(syncline.Transient, "nats_unreachable", "%s: %w", doing, err)
}

// connectError is classify for errors that may quote the URL.
func connectError(err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrPermissionViolation):
		return syncline.Errorf(syncline.Transient, "nats_auth", "connect to NATS: the server refuses the user").
			WithFix("check user, password or token, and the permissions on $JS.API.> and $KV.>; it is tried again every minute, and at once after `syncline resume ROUTE`").Patiently()
	}
	return syncline.Errorf(syncline.Transient, "nats_unreachable", "connect to NATS: the server does not answer").
		WithFix("check that the server runs and that the URL is right")
}
