// Roles that an AWS service takes on may be taken on for this account only, where the service says for whom it acts.
// Otherwise somebody in another account who learns a role's name might get the service to use it for them.
//
//   ecs-tasks.amazonaws.com       yes for the task's own role: documented (Amazon ECS, task IAM role). Not for the execution
//                                 role, where it is not documented: it can only fetch our image and write our log, and
//                                 a condition that does not hold would keep every task from starting
//   vpc-flow-logs.amazonaws.com   yes: documented (Amazon VPC, IAM role for publishing flow logs)
//   lambda.amazonaws.com          no: Lambda documents no such key for execution roles, and refuses a function whose role
//                                 it cannot take on. A role cannot be passed to another account's function anyway
import { Stack } from 'aws-cdk-lib';
import { CfnRole, type IRole } from 'aws-cdk-lib/aws-iam';

/** Adds the condition to what the role trusts: one service, in one statement. */
export function onlyForThisAccount(role: IRole): void {
  const made = role.node.defaultChild;
  if (!(made instanceof CfnRole)) throw new Error(`expected a role that this stack makes, got ${role.node.path}`);
  made.addPropertyOverride('AssumeRolePolicyDocument.Statement.0.Condition', {
    StringEquals: { 'aws:SourceAccount': Stack.of(role).account },
  });
}
