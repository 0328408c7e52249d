// Where rules of cdk-nag (AwsSolutions, at each synth) and of Control Tower (in the tests) are not followed, and why. Each
// rule is acknowledged where it does not fit, and nowhere else, with any settings: what is not acknowledged cannot be
// deployed. A test says that each acknowledgement still silences something.
import { type Stack, Validations } from 'aws-cdk-lib';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import { RegionInfo } from 'aws-cdk-lib/region-info';
import type { IConstruct } from 'constructs';
import { taskRoleId } from './ingestor-service.ts';
import { releaseAlarmDefinitions } from './release-alarms.ts';
import { SDK_CALLS_FUNCTION } from './sdk-calls.ts';
import type { Settings } from './settings.ts';

export interface Acknowledgement {
  readonly rule: string;
  /** Ends of the paths of the constructs that it is for. */
  readonly at: readonly string[];
  readonly reason: string;
}

const ROLE = 'ServiceRole/Resource';
const managed = (policy: string) =>
  `AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/${policy}]`;
const guard = (rule: string) => `cdk-validator-cfnguard::${rule}`;

export function acknowledgements(settings: Settings): Acknowledgement[] {
  const list: Acknowledgement[] = [
    {
      rule: managed('AWSLambdaBasicExecutionRole'),
      at: [SDK_CALLS_FUNCTION, 'Topology/Apply', 'Topology/Provider/framework-onEvent', 'Rotation/Rotate'].map(
        (f) => `${f}/${ROLE}`,
      ),
      reason: "Writing to the function's own log, and nothing else: AWS keeps this policy right",
    },
    {
      rule: managed('AWSLambdaVPCAccessExecutionRole'),
      at: ['Topology/Apply', 'Rotation/Rotate'].map((f) => `${f}/${ROLE}`),
      reason: 'A function in a VPC makes and removes its network interfaces, which have no name beforehand',
    },
    {
      rule: 'AwsSolutions-SMG4',
      at: ['DiscordTokenValue'],
      reason:
        'Discord gives the token to a person: no function can make a new one. The service takes a new value at once',
    },
    {
      rule: 'AwsSolutions-IAM5[Resource::<TopologyApply28FA50EC.Arn>:*]',
      at: ['Topology/Provider/framework-onEvent/ServiceRole/DefaultPolicy/Resource'],
      reason: 'The versions of one function, named by its whole ARN',
    },
    {
      rule: 'AwsSolutions-IAM5[Resource::*]',
      at: ['Task/ExecutionRole/DefaultPolicy/Resource'],
      reason: 'ecr:GetAuthorizationToken belongs to no resource',
    },
    {
      rule: 'AwsSolutions-ECS2',
      at: ['Ingestor/Task/Resource'],
      reason: 'What changes with the environment stands in variables; credentials are read from Secrets Manager by ARN',
    },
    {
      rule: 'AwsSolutions-ECS4',
      at: ['Ingestor/Cluster/Resource'],
      reason: "The ingestor's own metrics say more than Container Insights, which would cost more than the task",
    },
    {
      rule: guard('ecs_container_insights_enabled_check'),
      at: ['Ingestor/Cluster/Resource'],
      reason: "The ingestor's own metrics say more than Container Insights, which would cost more than the task",
    },
    {
      rule: guard('cloudwatch_log_group_retention_period_check'),
      at: ['*LogGroup'],
      reason: 'Logs are for operating, not for audits, and no law asks to keep them: setting logRetentionDays',
    },
    {
      rule: guard('cloudwatch_log_group_encrypted_check'),
      at: ['*LogGroup'],
      reason: 'CloudWatch encrypts every log group with a key of its own; no credential and no content is logged',
    },
    {
      rule: guard('cloudwatch_alarm_action_check'),
      at: releaseAlarmDefinitions(settings).map(({ id }) => `ReleaseAlarms/${id}/Resource`),
      reason: 'ECS asks for their state during a deployment; what they stand for pages by an alarm of its own',
    },
    {
      rule: guard('lambda_inside_vpc_check'),
      at: [`${SDK_CALLS_FUNCTION}/Resource`, 'Topology/Provider/framework-onEvent/Resource'],
      reason: "These talk to AWS's own APIs only: in the VPC they would need a way out of it",
    },
  ];
  if (settings.task.execEnabled) {
    list.push({
      rule: 'AwsSolutions-IAM5[Resource::*]',
      at: [`${taskRoleId(settings)}/DefaultPolicy/Resource`],
      reason: 'The channels of ECS Exec belong to no resource. Switched on by task.execEnabled, for an investigation',
    });
  }
  if (!settings.broker.existing) {
    // Named, they stand in the ARN; otherwise cdk-nag writes the pseudo parameters.
    const { account = '<AWS::AccountId>', region = '<AWS::Region>' } = settings;
    const partition = (settings.region && RegionInfo.get(settings.region).partition) ?? '<AWS::Partition>';
    list.push({
      rule: 'AwsSolutions-SMG4',
      at: ['Broker/Administrator/Resource'],
      reason:
        'A new value would reach CloudFormation at its next change, and not the broker: there is no procedure for it yet',
    });
    for (const group of ['general', 'connection', 'channel']) {
      list.push({
        rule: `AwsSolutions-IAM5[Resource::arn:${partition}:logs:${region}:${account}:log-group:/aws/amazonmq/broker/<Broker9AB50882>/${group}:*]`,
        at: [`BrokerLogs/${group}Made`, `BrokerLogs/${group}Kept`].map(
          (call) => `${call}/CustomResourcePolicy/Resource`,
        ),
        reason: "The streams of one of the broker's log groups, named by its whole ARN",
      });
    }
    if (['mq.m7g.2xlarge', 'mq.m7g.4xlarge'].includes(settings.broker.size)) {
      list.push({
        rule: 'CloudFormation-Validate::E3670',
        at: ['Broker/Broker'],
        reason: "The CDK's list of sizes ends at xlarge; Amazon MQ's own, for RabbitMQ 4, goes on to 16xlarge",
      });
    }
    if (settings.broker.nodes === 1) {
      list.push({
        rule: guard('mq_rabbit_deployment_mode_check'),
        at: ['Broker/Broker'],
        reason: 'One node, chosen by broker.nodes: while it restarts, events wait in the outbox and at Discord',
      });
    }
  }
  if (settings.rotationDays === 0) {
    list.push({
      rule: 'AwsSolutions-SMG4',
      at: ['IngestorLogin', 'WorkerLogin', 'DeadLettersLogin'].map((login) => `${login}/Resource`),
      reason: 'Switched off by rotationDays',
    });
  }
  if (settings.egress === 'public-ip') {
    list.push({
      rule: guard('ecs_service_assign_public_ip_disabled_check'),
      at: ['Ingestor/Service/Service'],
      reason: 'The cheapest way to Discord; its security group lets nobody in',
    });
  }
  return list;
}

export function acknowledge(settings: Settings, stacks: readonly Stack[]): void {
  const constructs = stacks.flatMap((stack) => stack.node.findAll());
  for (const { rule, at, reason } of acknowledgements(settings)) {
    for (const construct of constructs.filter((candidate) => at.some((end) => fits(candidate, end)))) {
      Validations.of(construct).acknowledge({ id: rule, reason });
    }
  }
}

function fits(construct: IConstruct, end: string): boolean {
  return end === '*LogGroup' ? construct instanceof CfnLogGroup : construct.node.path.endsWith(`/${end}`);
}
