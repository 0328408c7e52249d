// The broker's log groups: Amazon MQ creates them itself, under the broker's id and without an end. Here they get a
// retention, and go with staging. (A broker that is being deleted may create a group again: see docs/deploy.md.)
// Each group has two calls: it is created where it does not exist, and its retention is set. A changed retention makes both
// calls, so that a group deleted by hand is created again and fails neither the update nor its rollback.
import { CfnResource, Duration, Stack } from 'aws-cdk-lib';
import { AwsCustomResource, AwsCustomResourcePolicy, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import { sdkCallsLogGroup } from './sdk-calls.ts';
import type { Settings } from './settings.ts';

/** Source: Amazon MQ, configuring RabbitMQ logs. */
const GROUPS = ['general', 'connection', 'channel'] as const;

export class BrokerLogs extends Construct {
  /** @param brokerId `b-…`: part of the groups' names */
  constructor(scope: Construct, id: string, { brokerId, settings }: { brokerId: string; settings: Settings }) {
    super(scope, id);
    const stack = Stack.of(this);
    const service = 'CloudWatchLogs';
    const common = { logGroup: sdkCallsLogGroup(stack), timeout: Duration.minutes(1) };
    for (const group of GROUPS) {
      const logGroupName = `/aws/amazonmq/broker/${brokerId}/${group}`;
      const arn = `arn:${stack.partition}:logs:${stack.region}:${stack.account}:log-group:${logGroupName}`;
      // Some calls on a group are authorised against its name, others against its name with `:*`.
      const policy = AwsCustomResourcePolicy.fromSdkCalls({ resources: [arn, `${arn}:*`] });
      const physicalResourceId = PhysicalResourceId.of(logGroupName);

      const made = new AwsCustomResource(this, `${group}Made`, {
        ...common,
        resourceType: 'Custom::BrokerLogGroup',
        policy,
        onUpdate: {
          service,
          action: 'createLogGroup',
          parameters: { logGroupName },
          ignoreErrorCodesMatching: 'ResourceAlreadyExistsException',
          physicalResourceId,
        },
        ...(!settings.keepsData && {
          onDelete: {
            service,
            action: 'deleteLogGroup',
            parameters: { logGroupName },
            ignoreErrorCodesMatching: 'ResourceNotFoundException',
          },
        }),
      });
      // Not a parameter of the call: CloudFormation calls when a property changes.
      const { defaultChild } = made.node.findChild('Resource').node;
      if (defaultChild instanceof CfnResource) {
        defaultChild.addPropertyOverride('MadeForRetentionInDays', settings.logRetentionDays);
      }
      const kept = new AwsCustomResource(this, `${group}Kept`, {
        ...common,
        resourceType: 'Custom::BrokerLogRetention',
        policy,
        onUpdate: {
          service,
          action: 'putRetentionPolicy',
          parameters: { logGroupName, retentionInDays: settings.logRetentionDays },
          physicalResourceId,
        },
      });
      kept.node.addDependency(made);
    }
  }
}
