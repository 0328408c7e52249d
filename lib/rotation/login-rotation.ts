// New passwords for the broker's logins, on a schedule: one function for all of them.
import { join } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, type IDependable } from 'constructs';
import { NodeFunction } from '../node-function.ts';
import { ROTATION_ENV } from './rotation.ts';

export interface LoginRotationProps {
  readonly logins: Readonly<Record<string, ISecret>>;
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
  constructor(scope: Construct, id: string, props: LoginRotationProps) {
    super(scope, id);
    const rotate = new NodeFunction(this, 'Rotate', {
      entry: join(import.meta.dirname, 'rotate.lambda.ts'),
      description: "Rotates the broker's logins, between two users each",
      timeout: Duration.minutes(1),
      vpc: props.vpc,
      subnets: props.subnets,
      securityGroup: props.securityGroup,
      environment: {
        ...props.environment,
        [ROTATION_ENV.managementUrl]: props.managementEndpoint,
        [ROTATION_ENV.administratorSecretArn]: props.administrator.secretArn,
      },
    });
    props.administrator.grantRead(rotate);
    for (const [user, login] of Object.entries(props.logins)) {
      const schedule = login.addRotationSchedule(`${user}Schedule`, {
        rotationLambda: rotate,
        automaticallyAfter: Duration.days(props.everyDays),
        // The first login is as fresh as the stack.
        rotateImmediatelyOnUpdate: false,
      });
      schedule.node.addDependency(...props.after);
    }
  }
}
