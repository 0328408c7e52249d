// The topology as a resource of the stack: a function in the VPC that reaches the broker's management API, and the one
// resource that passes the topology to it. CloudFormation's own answers go by the provider framework outside the VPC, so
// that the function needs no way to the internet.
import { join } from 'node:path';
import { CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Provider } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import { arnsOf, BrokerFunction, type BrokerFunctionProps } from '../broker-function.ts';
import { APPLIED_TAG, type ResourceProperties, toProperties } from './resource-properties.ts';
import { complaints } from './rules.ts';
import type { Topology } from './topology.ts';

export interface BrokerTopologyProps extends BrokerFunctionProps {
  /** Each of its users has a login. The first login's secret is tagged with what was applied last. */
  readonly topology: Topology;
  readonly revision: number;
}

export class BrokerTopology extends Construct {
  /** Users can log in once this is there. */
  readonly resource: CustomResource;
  /** What is no longer wanted, with the commands that remove it by hand; or `nothing`. */
  readonly kept: string;
  /** Why the function did not reach the broker, in a rollback to what it has; or `none`. */
  readonly warning: string;

  constructor(scope: Construct, id: string, props: BrokerTopologyProps) {
    super(scope, id);
    const faults = complaints(props.topology);
    if (faults.length > 0) throw new Error(`topology: ${faults.join('; ')}`);
    for (const { name } of props.topology.users)
      if (!props.logins[name])
        throw new Error(`logins: expected a secret for the user ${name} of the topology, got none`);
    const apply = new BrokerFunction(this, 'Apply', {
      ...props,
      entry: join(import.meta.dirname, 'apply.lambda.ts'),
      description: "Applies the broker's topology",
      // A new broker may take minutes to answer.
      timeout: Duration.minutes(5),
    });
    const logins = Object.values(props.logins);
    for (const login of logins) login.grantRead(apply);
    apply.addToRolePolicy(
      new PolicyStatement({
        actions: ['secretsmanager:TagResource'],
        resources: logins.slice(0, 1).map(({ secretArn }) => secretArn),
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
      LoginSecretArns: arnsOf(props.logins),
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
