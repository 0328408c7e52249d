#!/bin/bash
# Deploys an environment. After a failure it prints the state of each stack, and the command that continues a failed rollback:
# CloudFormation accepts nothing else before.
#   deploy.sh ENVIRONMENT      variables: SETTINGS (JSON, may be empty)
set -euo pipefail
environment=${1:?expected the name of an environment}
settings=${SETTINGS:-}
choices=(-c environment="$environment" ${settings:+-c settings="$settings"})

status=0
npm run deploy -- "${choices[@]}" --require-approval never || status=$?
if [ "$status" -eq 0 ]; then exit 0; fi

for stack in "discord-ingestor-$environment-broker" "discord-ingestor-$environment-service"; do
  state=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text) || {
    echo "$stack: not there, or not readable (see above)"
    continue
  }
  echo "$stack: $state"
  case $state in
    UPDATE_ROLLBACK_FAILED | UPDATE_FAILED)
      echo "::error::$stack is in $state, and accepts no deployment until it is rolled back. Remove the cause, then" \
        "run: npx cdk rollback $stack ${choices[*]@Q}. See docs/runbook.md#a-deployment-ended-in-update_rollback_failed"
      ;;
    CREATE_FAILED | ROLLBACK_COMPLETE)
      echo "::error::$stack could not be created, and CloudFormation takes no update of it. The next deployment prints the" \
        "commands that remove it; until then it is refused. See docs/deploy.md, \"Deploy\""
      ;;
    ROLLBACK_FAILED | DELETE_FAILED)
      echo "::error::$stack is in $state, and can only be deleted. See docs/runbook.md#give-an-environment-up"
      ;;
    *_IN_PROGRESS)
      echo "::error::$stack is in $state: CloudFormation is still changing it. Wait for its end before the next deployment"
      ;;
  esac
done
echo "::error::The deployment of $environment failed: see above, and the events of its stacks"
exit "$status"
