#!/bin/bash
# Waits until the two alarms that sum up an environment's health have been off for five minutes: as long as the alarms about
# reports, shards and broker take to go on. Fails after half an hour (one about a loss stays on for half of that), and names the alarms that are on.
# Without a bot token, which can be stored only after the first deployment has created its secret, shards cannot connect.
# If nothing else is wrong, it succeeds with a warning.
#   wait-until-healthy.sh ENVIRONMENT
set -euo pipefail
environment=${1:?expected the name of an environment}
quiet=${QUIET_SECONDS:-300} patience=${PATIENCE_SECONDS:-1800} pause=${PAUSE_SECONDS:-15}
prefix=discord-ingestor-$environment-
secret=discord-ingestor/$environment/discord-token

alarms_that_are_on() {
  aws cloudwatch describe-alarms --alarm-types MetricAlarm --alarm-name-prefix "$prefix" --state-value ALARM \
    --query 'MetricAlarms[].AlarmName' --output text
}

# True only where the secret exists and has never had a value. A token in another secret was stored before.
token_is_missing() {
  local versions
  versions=$(aws secretsmanager describe-secret --secret-id "$secret" --query VersionIdsToStages --output json) || return 1
  [ "$versions" = null ] || [ "$versions" = '{}' ]
}

# No alarm but those that the missing token explains: the shards, and the alarms of a release, which read the shards too.
only_shards_are_missing() {
  local name found=''
  for name in $1; do
    case ${name#"$prefix"} in
      shards-missing) found=yes ;;
      release-*) ;;
      *) return 1 ;;
    esac
  done
  [ -n "$found" ]
}

since=0
last=''
while :; do
  states=$(aws cloudwatch describe-alarms --alarm-types CompositeAlarm --alarm-names "${prefix}unhealthy" "${prefix}impaired" \
    --query 'CompositeAlarms[].StateValue' --output text)
  case $states in
    *ALARM*) state=ALARM ;;
    OK*OK) state=OK ;;
    ?*[[:space:]]?*) state=INSUFFICIENT_DATA ;;
    *) state=None ;;
  esac
  on=''
  case $state in
    None)
      echo "::error::expected the alarms ${prefix}unhealthy and ${prefix}impaired, got ${states:-none}: is the stack ${prefix}service deployed?"
      exit 1
      ;;
    OK) now=healthy ;;
    ALARM)
      on=$(alarms_that_are_on)
      if only_shards_are_missing "$on" && token_is_missing; then now=tokenless; else now=unhealthy; fi
      ;;
    *) now=unhealthy ;;
  esac
  echo "$(date -u +%T) ${prefix}unhealthy and -impaired: $state${on:+ (}${on//$'\t'/, }${on:+)}"

  if [ "$now" != "$last" ]; then since=$SECONDS last=$now; fi
  if [ "$now" != unhealthy ] && [ $((SECONDS - since)) -ge "$quiet" ]; then
    if [ "$now" = tokenless ]; then
      echo "::warning::$environment is deployed, and waits for the bot's token: store it in the secret $secret." \
        "See docs/runbook.md#put-or-change-the-discord-token"
    fi
    exit 0
  fi
  [ "$SECONDS" -lt "$patience" ] || break
  sleep "$pause"
done
on=$(alarms_that_are_on)
echo "::error::$environment did not become healthy within $patience s. Alarms that are on: ${on:-none}. See docs/runbook.md"
exit 1
