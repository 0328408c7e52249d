#!/bin/bash
# Waits until the one alarm that sums up an environment's health has been quiet for five minutes: as long as the slowest
# of its alarms looks back. Fails after twenty minutes, and says which alarms are on.
#   wait-until-healthy.sh ENVIRONMENT
set -euo pipefail
environment=$1
quiet=${QUIET_SECONDS:-300} patience=${PATIENCE_SECONDS:-1200} pause=${PAUSE_SECONDS:-15}
prefix=discord-ingestor-$environment-

since=
while :; do
  state=$(aws cloudwatch describe-alarms --alarm-types CompositeAlarm --alarm-names "${prefix}unhealthy" \
    --query 'CompositeAlarms[0].StateValue' --output text)
  echo "$(date -u +%T) ${prefix}unhealthy: $state"
  if [ "$state" = OK ]; then
    since=${since:-$SECONDS}
    [ $((SECONDS - since)) -ge "$quiet" ] && exit 0
  else
    since=
  fi
  [ "$SECONDS" -lt "$patience" ] || break
  sleep "$pause"
done
on=$(aws cloudwatch describe-alarms --alarm-types MetricAlarm --alarm-name-prefix "$prefix" --state-value ALARM \
  --query 'MetricAlarms[].AlarmName' --output text)
echo "::error::$environment did not become healthy within $patience s. Alarms that are on: ${on:-none}. See docs/runbook.md"
exit 1
