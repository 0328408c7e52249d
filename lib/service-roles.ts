// An AWS service may assume our roles for this account only, where the service documents the condition. Otherwise another
// account that knows a role's name might make the service use it ("confused deputy").
//
//   ecs-tasks.amazonaws.com       yes for the task role: documented (Amazon ECS, task IAM role). Not for the execution role,
//                                 where it is not documented: that role can only pull our image and write our log, and
//                                 a condition that is not met would keep every task from starting
//   vpc-flow-logs.amazonaws.com   yes: documented (Amazon VPC, IAM role for publishing flow logs)
//   lambda.amazonaws.com          no: Lambda documents no such key for execution roles, and refuses a function whose role
//                                 it cannot assume. A role cannot be passed to another account's function anyway
import { Stack } from 'aws-cdk-lib';
import { CfnRole, type IRole } from 'aws-cdk-lib/aws-iam';

/** Adds the condition to the role's trust policy: one service, in one statement. */
export function onlyForThisAccount(role: IRole): void {
  const made = role.node.defaultChild;
  if (!(made instanceof CfnRole)) throw new Error(`expected a role that this stack makes, got ${role.node.path}`);
  made.addPropertyOverride('AssumeRolePolicyDocument.Statement.0.Condition', {
    StringEquals: { 'aws:SourceAccount': Stack.of(role).account },
  });
}
