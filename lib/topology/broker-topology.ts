// The topology as a resource of the stack: a function in the VPC that reaches the broker's management API, and the one
// resource that hands the topology to it. CloudFormation's own answers go by the provider framework outside the VPC, so
// that the function needs no way to the internet.
import { join } from 'node:path';
import { CustomResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Provider } from 'aws-cdk-lib/custom-resources';
import { Construct, type IDependable } from 'constructs';
import { NodeFunction } from '../node-function.ts';
import { APPLIED_TAG, type ResourceProperties, TOPOLOGY_ENV, toProperties } from './resource-properties.ts';
import { complaints } from './rules.ts';
import type { Topology } from './topology.ts';

export interface BrokerTopologyProps {
  readonly topology: Topology;
  readonly managementEndpoint: string;
  readonly administrator: ISecret;
  /** By the name of a user in the topology. The first one's secret is tagged with what was applied last. */
  readonly logins: Readonly<Record<string, ISecret>>;
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
  /** What is not wanted any more, with the commands that remove it by hand; or `nothing`. */
  readonly kept: string;
  /** Why the broker was not asked, in a rollback to what it has; or `none`. */
  readonly warning: string;

  constructor(scope: Construct, id: string, props: BrokerTopologyProps) {
    super(scope, id);
    const faults = complaints(props.topology);
    if (faults.length > 0) throw new Error(`topology: ${faults.join('; ')}`);
    const logins = Object.entries(props.logins);
    for (const { name } of props.topology.users)
      if (!props.logins[name])
        throw new Error(`logins: expected a secret for the user ${name} of the topology, got none`);
    const arns = Object.fromEntries(logins.map(([user, { secretArn }]) => [user, secretArn]));
    const apply = new NodeFunction(this, 'Apply', {
      entry: join(import.meta.dirname, 'apply.lambda.ts'),
      description: "Applies the broker's topology",
      // A broker that has just been made may take minutes to answer.
      timeout: Duration.minutes(5),
      vpc: props.vpc,
      subnets: props.subnets,
      securityGroup: props.securityGroup,
      environment: {
        ...props.environment,
        [TOPOLOGY_ENV.managementUrl]: props.managementEndpoint,
        [TOPOLOGY_ENV.administratorSecretArn]: props.administrator.secretArn,
        [TOPOLOGY_ENV.loginSecretArns]: Stack.of(this).toJsonString(arns),
      },
    });
    props.administrator.grantRead(apply);
    for (const [, login] of logins) login.grantRead(apply);
    apply.addToRolePolicy(
      new PolicyStatement({
        actions: ['secretsmanager:TagResource'],
        resources: logins.slice(0, 1).map(([, { secretArn }]) => secretArn),
        conditions: { 'ForAllValues:StringEquals': { 'aws:TagKeys': [APPLIED_TAG] } },
      }),
    );

    const provider = new Provider(this, 'Provider', {
      onEventHandler: apply,
      logGroup: new LogGroup(this, 'ProviderLog', {
        retention: RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
    const properties: ResourceProperties = {
      Topology: toProperties(props.topology),
      Revision: props.revision,
      ManagementUrl: props.managementEndpoint,
      LoginSecretArns: arns,
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
    this.warning = this.resource.getAttString('Warning');
  }
}
