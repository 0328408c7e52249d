// New passwords for the broker's logins: one function for all of them, which Secrets Manager may call for these secrets
// only, on a schedule or on a person's command (`npm run logins`). Written with the plain resources: the library's own
// schedule would let every account call it.
import { join } from 'node:path';
import { Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { CfnRotationSchedule } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { arnsOf, BrokerFunction, type BrokerFunctionProps } from '../broker-function.ts';

export interface LoginRotationProps extends BrokerFunctionProps {
  /** 0 is no schedule. */
  readonly everyDays: number;
}

export class LoginRotation extends Construct {
  readonly functionArn: string;

  constructor(scope: Construct, id: string, props: LoginRotationProps) {
    super(scope, id);
    const rotate = new BrokerFunction(this, 'Rotate', {
      ...props,
      entry: join(import.meta.dirname, 'rotate.lambda.ts'),
      description: "Rotates the broker's logins between two users each, and revokes the former one",
      timeout: Duration.minutes(1),
    });
    this.functionArn = rotate.functionArn;
    const arns = arnsOf(props.logins);
    rotate.addToRolePolicy(
      new PolicyStatement({
        actions: ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'UpdateSecretVersionStage'].map(
          (action) => `secretsmanager:${action}`,
        ),
        resources: Object.values(arns),
      }),
    );
    for (const [user, secretArn] of Object.entries(arns)) {
      const permission = new CfnPermission(this, `${user}Call`, {
        action: 'lambda:InvokeFunction',
        functionName: rotate.functionArn,
        principal: 'secretsmanager.amazonaws.com',
        sourceArn: secretArn,
        sourceAccount: Stack.of(this).account,
      });
      if (props.everyDays === 0) continue;
      const schedule = new CfnRotationSchedule(this, `${user}Schedule`, {
        secretId: secretArn,
        rotationLambdaArn: rotate.functionArn,
        rotationRules: { automaticallyAfterDays: props.everyDays },
        // The first login is as fresh as the stack.
        rotateImmediatelyOnUpdate: false,
      });
      // A new schedule calls the function, which then needs its permissions, and the users at the broker.
      schedule.node.addDependency(permission, rotate, ...props.after);
    }
  }
}
