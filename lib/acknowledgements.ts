// The rules of cdk-nag (AwsSolutions, at each synth) and of Control Tower (in the tests) that are not followed, and why. A rule is
// acknowledged for the constructs where it does not fit, and for no other, with any settings: what is not acknowledged cannot
// be deployed. A test shows that each acknowledgement is needed.
import { type Stack, Validations } from 'aws-cdk-lib';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import { RegionInfo } from 'aws-cdk-lib/region-info';
import type { IConstruct } from 'constructs';
import { alarmDefinitions } from './alarms.ts';
import { taskRoleId } from './ingestor-service.ts';
import { releaseAlarmDefinitions } from './release-alarms.ts';
import { SDK_CALLS_FUNCTION } from './sdk-calls.ts';
import type { Settings } from './settings.ts';

export interface Acknowledgement {
  readonly rules: readonly string[];
  /** Ends of the paths of the constructs that it is for. */
  readonly at: readonly string[];
  readonly reason: string;
}

const LOG_GROUPS = '*LogGroup';
const ALL_RESOURCES = 'AwsSolutions-IAM5[Resource::*]';
const NO_ROTATION = 'AwsSolutions-SMG4';
const managed = (policy: string) =>
  `AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/${policy}]`;
const guard = (rule: string) => `cdk-validator-cfnguard::${rule}`;

export function acknowledgements(settings: Settings): Acknowledgement[] {
  const list: Acknowledgement[] = [];
  const accept = (rule: string | readonly string[], at: string | readonly string[], reason: string) =>
    list.push({ rules: [rule].flat(), at: [at].flat(), reason });

  accept(
    managed('AWSLambdaBasicExecutionRole'),
    [SDK_CALLS_FUNCTION, 'Topology/Apply', 'Topology/Provider/framework-onEvent', 'Rotation/Rotate'].map(roleOf),
    "Writing to the function's own log, and nothing else: AWS maintains this policy",
  );
  accept(
    managed('AWSLambdaVPCAccessExecutionRole'),
    ['Topology/Apply', 'Rotation/Rotate'].map(roleOf),
    'A function in a VPC creates and removes its network interfaces, which have no name beforehand',
  );
  accept(
    NO_ROTATION,
    'DiscordTokenValue',
    'Discord gives the token to a person: no function can make a new one. The service takes a new value at once',
  );
  accept(
    'AwsSolutions-IAM5[Resource::<TopologyApply28FA50EC.Arn>:*]',
    'Topology/Provider/framework-onEvent/ServiceRole/DefaultPolicy/Resource',
    'The versions of one function, named by its whole ARN',
  );
  const executionRole = 'Task/ExecutionRole/DefaultPolicy/Resource';
  accept(ALL_RESOURCES, executionRole, 'ecr:GetAuthorizationToken belongs to no resource');
  accept(
    'AwsSolutions-ECS2',
    'Ingestor/Task/Resource',
    'The variables differ between environments; credentials are read from Secrets Manager by ARN',
  );
  accept(
    ['AwsSolutions-ECS4', guard('ecs_container_insights_enabled_check')],
    'Ingestor/Cluster/Resource',
    "The ingestor's own metrics show more than Container Insights, which would cost more than the task",
  );
  accept(
    guard('cloudwatch_log_group_retention_period_check'),
    LOG_GROUPS,
    'Logs are for operating, not for audits, and no law requires them: setting logRetentionDays',
  );
  accept(
    guard('cloudwatch_log_group_encrypted_check'),
    LOG_GROUPS,
    'CloudWatch encrypts every log group with its own key; no credential and no content is logged',
  );
  accept(
    guard('cloudwatch_alarm_action_check'),
    releaseAlarmDefinitions(settings).map(({ id }) => `ReleaseAlarms/${id}/Resource`),
    'ECS reads their state during a deployment; another alarm reports the same fault to a person',
  );
  accept(
    guard('cloudwatch_alarm_action_check'),
    alarmDefinitions(settings).flatMap(({ id, family }) => (family === 'health' ? `Monitoring/${id}/Resource` : [])),
    'Two alarms that sum the health up act for these, so that one fault is one page',
  );
  accept(
    guard('lambda_inside_vpc_check'),
    [`${SDK_CALLS_FUNCTION}/Resource`, 'Topology/Provider/framework-onEvent/Resource'],
    "These use AWS's own APIs only: in the VPC they would need a way out of it",
  );
  if (settings.task.execEnabled) {
    accept(
      ALL_RESOURCES,
      `${taskRoleId(settings)}/DefaultPolicy/Resource`,
      'The channels of ECS Exec belong to no resource. Switched on by task.execEnabled, for an investigation',
    );
  }
  if (!settings.broker.existing) {
    // cdk-nag writes account and region as in the ARN: the chosen ones, or the pseudo parameters.
    const { account = '<AWS::AccountId>', region = '<AWS::Region>' } = settings;
    const partition = (settings.region && RegionInfo.get(settings.region).partition) ?? '<AWS::Partition>';
    accept(
      NO_ROTATION,
      'Broker/Administrator/Resource',
      'CloudFormation would write a new value at its next change, and not the broker: there is no procedure for it yet',
    );
    for (const group of ['general', 'connection', 'channel']) {
      accept(
        `AwsSolutions-IAM5[Resource::arn:${partition}:logs:${region}:${account}:log-group:/aws/amazonmq/broker/<Broker9AB50882>/${group}:*]`,
        ['Made', 'Kept'].map((call) => `BrokerLogs/${group}${call}/CustomResourcePolicy/Resource`),
        "The streams of one of the broker's log groups, named by its whole ARN",
      );
    }
    if (['mq.m7g.2xlarge', 'mq.m7g.4xlarge'].includes(settings.broker.size)) {
      accept(
        'CloudFormation-Validate::E3670',
        'Broker/Broker',
        "The CDK's list of sizes ends at xlarge; Amazon MQ's own, for RabbitMQ 4, goes on to 16xlarge",
      );
    }
    if (settings.broker.nodes === 1) {
      accept(
        guard('mq_rabbit_deployment_mode_check'),
        'Broker/Broker',
        'One node, chosen by broker.nodes: while it restarts, events wait in the outbox and at Discord',
      );
    }
  }
  if (settings.rotationDays === 0) {
    accept(
      NO_ROTATION,
      ['IngestorLogin', 'WorkerLogin', 'DeadLettersLogin'].map((login) => `${login}/Resource`),
      'Switched off by rotationDays',
    );
  }
  if (settings.egress === 'public-ip') {
    accept(
      guard('ecs_service_assign_public_ip_disabled_check'),
      'Ingestor/Service/Service',
      'The cheapest way to Discord; its security group has no inbound rule',
    );
  }
  return list;
}

const roleOf = (lambda: string) => `${lambda}/ServiceRole/Resource`;

export function acknowledge(settings: Settings, stacks: readonly Stack[]): void {
  const constructs = stacks.flatMap((stack) => stack.node.findAll());
  for (const { rules, at, reason } of acknowledgements(settings)) {
    for (const construct of constructs.filter((candidate) => at.some((end) => fits(candidate, end)))) {
      Validations.of(construct).acknowledge(...rules.map((id) => ({ id, reason })));
    }
  }
}

function fits(construct: IConstruct, end: string): boolean {
  return end === LOG_GROUPS ? construct instanceof CfnLogGroup : construct.node.path.endsWith(`/${end}`);
}
