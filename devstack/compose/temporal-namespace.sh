#!/bin/sh
# Creates the namespace and Watchfire's search attributes when missing. Runs in
# temporalio/admin-tools; may be repeated.
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_RETENTION.
set -eu

tries=60
until temporal operator cluster health; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "Temporal does not answer at $TEMPORAL_ADDRESS" >&2; exit 1; }
  sleep 2
done

if ! temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
fi

# A new namespace is known to all services after some seconds.
list() { temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE"; }
tries=30
until known=$(list); do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "the namespace $TEMPORAL_NAMESPACE cannot be used" >&2; exit 1; }
  sleep 1
done

# attribute NAME TYPE
attribute() {
  if echo "$known" | grep -q "$1"; then
    return
  fi
  temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$1" --type "$2"
}

attribute WatchfireClient Keyword
attribute WatchfirePhase Keyword
attribute WatchfireTurn Keyword
attribute WatchfireSeverity Keyword
attribute WatchfireContainment Keyword
attribute WatchfireDrill Bool
