#!/bin/bash
# Shows what a deployment of an environment would change, and refuses one that would replace or remove its broker.
# Fails where the diff itself failed, or does not contain both stacks: then the change is unknown.
#   show-diff.sh ENVIRONMENT      variables: SETTINGS (JSON, may be empty), GITHUB_STEP_SUMMARY (a file, may be unset)
set -euo pipefail
environment=${1:?expected the name of an environment}
settings=${SETTINGS:-}
diff=$(mktemp)
trap 'rm -f "$diff"' EXIT

# By template, because this needs a role that may only read; a change set needs the one that deploys.
status=0
CI=true npx cdk diff --method template -c environment="$environment" ${settings:+-c settings="$settings"} \
  >"$diff" 2>&1 || status=$?
cat "$diff"
if [ "$status" -ne 0 ]; then
  echo "::error::The diff of $environment failed with exit code $status: see above. Nothing is known of what would change"
  exit 1
fi
for stack in "discord-ingestor-$environment-broker" "discord-ingestor-$environment-service"; do
  if ! grep -qE "^Stack $stack( |\$)" "$diff"; then
    echo "::error::The diff of $environment does not contain the stack $stack. Nothing is known of what would change"
    exit 1
  fi
done
if ! grep -qE 'Number of stacks with differences: [0-9]+' "$diff"; then
  echo "::error::The diff of $environment ended before its last line. Nothing is known of what would change"
  exit 1
fi

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  # GitHub colours a line by its first character.
  { echo "### $environment"; echo '```diff'; sed 's/^\( *\)\[\([-+~]\)\]/\2\1/' "$diff"; echo '```'; } >>"$GITHUB_STEP_SUMMARY"
fi

if grep -E '^ *(\[-\] AWS::AmazonMQ::Broker |\[.\] AWS::AmazonMQ::Broker .*(replace|destroy|orphan))' "$diff"; then
  echo "::error::This change would replace or remove the broker of $environment, with its queues and their messages." \
    'See docs/deploy.md, "What cannot be changed"'
  exit 1
fi
