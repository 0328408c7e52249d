// The broker's log groups: Amazon MQ makes them itself, under the broker's id and kept for ever. Here they get an end,
// and go with staging. (What a dying broker still writes makes Amazon MQ create a group again: see docs/deploy.md.)
// Each group is two calls: it is made where it is not there, and its retention set. A changed retention makes both, so
// that a group deleted by hand is made again and fails neither the update nor its rollback.
import { CfnResource, Duration, Stack } from 'aws-cdk-lib';
import { AwsCustomResource, AwsCustomResourcePolicy, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import { sdkCallsLogGroup } from './sdk-calls.ts';
import type { Settings } from './settings.ts';

/** Source: Amazon MQ, configuring RabbitMQ logs. */
const GROUPS = ['general', 'connection', 'channel'] as const;

export interface BrokerLogsProps {
  readonly brokerId: string;
  readonly settings: Settings;
}

export class BrokerLogs extends Construct {
  constructor(scope: Construct, id: string, props: BrokerLogsProps) {
    super(scope, id);
    const { brokerId, settings } = props;
    const stack = Stack.of(this);
    const common = { logGroup: sdkCallsLogGroup(stack), timeout: Duration.minutes(1) };
    for (const group of GROUPS) {
      const logGroupName = `/aws/amazonmq/broker/${brokerId}/${group}`;
      const arn = `arn:${stack.partition}:logs:${stack.region}:${stack.account}:log-group:${logGroupName}`;
      // Calls on a group are authorised against its name with `:*`, and some without.
      const policy = AwsCustomResourcePolicy.fromSdkCalls({ resources: [arn, `${arn}:*`] });
      const physicalResourceId = PhysicalResourceId.of(logGroupName);

      const made = new AwsCustomResource(this, `${group}Made`, {
        ...common,
        resourceType: 'Custom::BrokerLogGroup',
        policy,
        onUpdate: {
          service: 'CloudWatchLogs',
          action: 'createLogGroup',
          parameters: { logGroupName },
          ignoreErrorCodesMatching: 'ResourceAlreadyExistsException',
          physicalResourceId,
        },
        ...(!settings.keepsData && {
          onDelete: {
            service: 'CloudWatchLogs',
            action: 'deleteLogGroup',
            parameters: { logGroupName },
            ignoreErrorCodesMatching: 'ResourceNotFoundException',
          },
        }),
      });
      // Not a parameter of the call: a changed property is what makes CloudFormation call.
      const { defaultChild } = made.node.findChild('Resource').node;
      if (defaultChild instanceof CfnResource) {
        defaultChild.addPropertyOverride('MadeForRetentionInDays', settings.logRetentionDays);
      }
      const retention = {
        service: 'CloudWatchLogs',
        action: 'putRetentionPolicy',
        parameters: { logGroupName, retentionInDays: settings.logRetentionDays },
        physicalResourceId,
      };
      const kept = new AwsCustomResource(this, `${group}Kept`, {
        ...common,
        resourceType: 'Custom::BrokerLogRetention',
        policy,
        onUpdate: retention,
      });
      kept.node.addDependency(made);
    }
  }
}
