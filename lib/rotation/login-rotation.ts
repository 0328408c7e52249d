// New passwords for the broker's logins: one function for all of them, which Secrets Manager may call for these secrets
// only, on a schedule or when a person asks for it (`npm run logins`). Written with the plain resources: the library's own
// schedule would let every account call it.
import { join } from 'node:path';
import { Duration, Stack } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { CfnRotationSchedule, type ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, type IDependable } from 'constructs';
import { NodeFunction } from '../node-function.ts';
import { ROTATION_ENV } from './rotation.ts';

export interface LoginRotationProps {
  /** By the first user of each pair. */
  readonly logins: Readonly<Record<string, ISecret>>;
  /** 0 is no schedule. */
  readonly everyDays: number;
  readonly managementEndpoint: string;
  readonly administrator: ISecret;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly securityGroup: SecurityGroup;
  readonly environment?: Readonly<Record<string, string>>;
  /** Without which the logins do not work: Secrets Manager tries them as soon as there is a schedule. */
  readonly after: readonly IDependable[];
}

export class LoginRotation extends Construct {
  readonly functionArn: string;

  constructor(scope: Construct, id: string, props: LoginRotationProps) {
    super(scope, id);
    const rotate = new NodeFunction(this, 'Rotate', {
      entry: join(import.meta.dirname, 'rotate.lambda.ts'),
      description: "Rotates the broker's logins between two users each, and revokes the former one",
      timeout: Duration.minutes(1),
      vpc: props.vpc,
      subnets: props.subnets,
      securityGroup: props.securityGroup,
      environment: {
        ...props.environment,
        [ROTATION_ENV.managementUrl]: props.managementEndpoint,
        [ROTATION_ENV.administratorSecretArn]: props.administrator.secretArn,
        [ROTATION_ENV.loginSecretArns]: Stack.of(this).toJsonString(
          Object.fromEntries(Object.entries(props.logins).map(([user, { secretArn }]) => [user, secretArn])),
        ),
      },
    });
    this.functionArn = rotate.functionArn;
    props.administrator.grantRead(rotate);
    const logins = Object.entries(props.logins);
    rotate.addToRolePolicy(
      new PolicyStatement({
        actions: ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'UpdateSecretVersionStage'].map(
          (action) => `secretsmanager:${action}`,
        ),
        resources: logins.map(([, { secretArn }]) => secretArn),
      }),
    );
    for (const [user, { secretArn }] of logins) {
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
      // Making the schedule calls the function, which then needs its rights and the broker its users.
      schedule.node.addDependency(permission, rotate, ...props.after);
    }
  }
}
