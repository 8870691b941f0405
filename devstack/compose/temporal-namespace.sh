#!/bin/sh
# Creates the namespace and Watchfire's search attributes when missing. Runs in
# temporalio/admin-tools; may run repeatedly.
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_RETENTION.
set -eu

tries=60
until temporal operator cluster health; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "Temporal does not answer at $TEMPORAL_ADDRESS: look into its log" >&2; exit 1; }
  sleep 2
done

if ! temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
fi

# The services learn of a new namespace within some seconds.
list_attributes() { temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE"; }
tries=30
until known=$(list_attributes); do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "the namespace $TEMPORAL_NAMESPACE cannot be used: look into Temporal's log" >&2; exit 1; }
  sleep 1
done

# add_attribute NAME TYPE: unless there is one of that name
add_attribute() {
  if echo "$known" | grep -q "$1"; then
    return
  fi
  temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$1" --type "$2"
}

add_attribute WatchfireClient Keyword
add_attribute WatchfirePhase Keyword
add_attribute WatchfireTurn Keyword
add_attribute WatchfireSeverity Keyword
add_attribute WatchfireContainment Keyword
add_attribute WatchfireDrill Bool
