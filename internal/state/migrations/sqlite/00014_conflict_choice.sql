-- +goose Up

-- A decision is kept once it is carried out, for a target that loses it.
CREATE INDEX conflict_choice ON conflict (route, slice) WHERE choice <> '';
