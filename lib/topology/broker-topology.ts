// The topology as a resource of the stack: a function in the VPC that reaches the broker's management API, and the one
// resource that hands the topology to it. CloudFormation's own answers go by the provider framework outside the VPC, so
// that the function needs no way to the internet.
import { join } from 'node:path';
import { CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Provider } from 'aws-cdk-lib/custom-resources';
import { Construct, type IDependable } from 'constructs';
import { NodeFunction } from '../node-function.ts';
import { type ResourceProperties, toProperties } from './resource-properties.ts';
import type { Topology } from './topology.ts';

export interface BrokerTopologyProps {
  readonly topology: Topology;
  readonly managementEndpoint: string;
  readonly administrator: ISecret;
  /** By the name of a user in the topology. */
  readonly logins: Readonly<Record<string, ISecret>>;
  readonly onDelete: ResourceProperties['OnDelete'];
  readonly revision: number;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly securityGroup: SecurityGroup;
  readonly environment?: Readonly<Record<string, string>>;
  /** What has to be there before the function can reach the broker and its secrets. */
  readonly after: readonly IDependable[];
}

export class BrokerTopology extends Construct {
  /** Users can log in once this is there. */
  readonly resource: CustomResource;
  /** What is not wanted any more, and was kept because it holds messages. */
  readonly kept: string;

  constructor(scope: Construct, id: string, props: BrokerTopologyProps) {
    super(scope, id);
    const apply = new NodeFunction(this, 'Apply', {
      entry: join(import.meta.dirname, 'apply.lambda.ts'),
      description: "Applies the broker's topology",
      // A broker that has just been made may take minutes to answer.
      timeout: Duration.minutes(5),
      vpc: props.vpc,
      subnets: props.subnets,
      securityGroup: props.securityGroup,
      ...(props.environment && { environment: props.environment }),
    });
    props.administrator.grantRead(apply);
    for (const login of Object.values(props.logins)) login.grantRead(apply);

    const provider = new Provider(this, 'Provider', {
      onEventHandler: apply,
      logGroup: new LogGroup(this, 'ProviderLog', {
        retention: RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
    const properties: ResourceProperties = {
      Topology: toProperties(props.topology),
      ManagementUrl: props.managementEndpoint,
      AdministratorSecretArn: props.administrator.secretArn,
      LoginSecretArns: Object.fromEntries(
        Object.entries(props.logins).map(([user, { secretArn }]) => [user, secretArn]),
      ),
      OnDelete: props.onDelete,
      Revision: props.revision,
    };
    this.resource = new CustomResource(this, 'Resource', {
      resourceType: 'Custom::BrokerTopology',
      serviceToken: provider.serviceToken,
      // Otherwise a function that never answers holds up the stack for an hour.
      serviceTimeout: Duration.minutes(10),
      properties: { ...properties },
    });
    this.resource.node.addDependency(...props.after);
    this.kept = this.resource.getAttString('Kept');
  }
}
