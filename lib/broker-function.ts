// A Lambda function that manages the broker as its administrator: what the topology and the rotation of logins share.
import { Stack } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct, IDependable } from 'constructs';
import { MANAGEMENT_ENV } from './management/function-settings.ts';
import { NodeFunction, type NodeFunctionProps } from './node-function.ts';

export interface BrokerFunctionProps {
  /** By the first user of each pair. */
  readonly logins: Readonly<Record<string, ISecret>>;
  readonly managementEndpoint: string;
  readonly administrator: ISecret;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly securityGroup: SecurityGroup;
  readonly environment?: Readonly<Record<string, string>>;
  /** What has to be there before the function can reach the broker and its secrets. */
  readonly after: readonly IDependable[];
}

export class BrokerFunction extends NodeFunction {
  constructor(
    scope: Construct,
    id: string,
    props: BrokerFunctionProps & Pick<NodeFunctionProps, 'entry' | 'description' | 'timeout'>,
  ) {
    const { entry, description, timeout, vpc, subnets, securityGroup } = props;
    super(scope, id, {
      ...{ entry, description, vpc, subnets, securityGroup },
      ...(timeout && { timeout }),
      environment: {
        ...props.environment,
        [MANAGEMENT_ENV.managementUrl]: props.managementEndpoint,
        [MANAGEMENT_ENV.administratorSecretArn]: props.administrator.secretArn,
        [MANAGEMENT_ENV.loginSecretArns]: Stack.of(scope).toJsonString(arnsOf(props.logins)),
      },
    });
    props.administrator.grantRead(this);
  }
}

export function arnsOf(logins: BrokerFunctionProps['logins']): Record<string, string> {
  return Object.fromEntries(Object.entries(logins).map(([user, { secretArn }]) => [user, secretArn]));
}
