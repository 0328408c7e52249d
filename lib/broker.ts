// Amazon MQ for RabbitMQ as one construct: endpoints, connections and metrics of a broker, new or existing.
// What Amazon MQ cannot change afterwards is fixed here: the name follows from the environment, so that a replacement
// would collide with the broker that is there and fail before it harms; the security group keeps its identity, and only
// its rules change. Its vhost, queues and users are the topology's affair.
import { Aws, CfnResource, Fn, Stack } from 'aws-cdk-lib';
import { CfnBroker, CfnConfiguration } from 'aws-cdk-lib/aws-amazonmq';
import { Metric, type MetricOptions, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { MAX_MESSAGE_BYTES } from '../service/contract/limits.ts';
import { brokerLimits } from './broker-limits.ts';
import { removalPolicy } from './removal-policy.ts';
import { ADMINISTRATOR, AMQPS_PORT, administratorSecret, secretOfYours } from './secrets.ts';
import { type Settings, storageGb } from './settings.ts';

/** Metrics of a broker with RabbitMQ 4: there are none per queue. Source: Amazon MQ, metrics for RabbitMQ. */
export type BrokerMetric =
  | 'ConnectionCount'
  | 'MessageCount'
  | 'MessageReadyCount'
  | 'PublishRate'
  | 'ConfirmRate'
  | 'AckRate'
  | 'SystemCpuUtilization'
  | 'RabbitMQMemUsed'
  | 'RabbitMQMemLimit'
  | 'RabbitMQDiskFree'
  | 'RabbitMQDiskFreeLimit';

export const BROKER_NAMESPACE = 'AWS/AmazonMQ';

export interface BrokerProps {
  readonly settings: Settings;
  readonly vpc: ec2.IVpc;
  readonly subnets: ec2.SubnetSelection;
}

export interface IBroker extends ec2.IConnectable {
  readonly brokerName: string;
  readonly host: string;
  /** `amqps://host:port` */
  readonly amqpsEndpoint: string;
  /** `https://host`, of the management API and the console. */
  readonly managementEndpoint: string;
  /** `username` and `password` of a user with the tag `administrator`. */
  readonly administrator: ISecret;
  metric(name: BrokerMetric, props?: MetricOptions): Metric;
}

abstract class BrokerBase extends Construct implements IBroker {
  abstract readonly brokerName: string;
  abstract readonly host: string;
  abstract readonly administrator: ISecret;
  abstract readonly connections: ec2.Connections;

  get amqpsEndpoint(): string {
    return `amqps://${this.host}:${AMQPS_PORT}`;
  }

  get managementEndpoint(): string {
    return `https://${this.host}`;
  }

  metric(name: BrokerMetric, props?: MetricOptions): Metric {
    return brokerMetric(this.brokerName, name, props);
  }
}

/**
 * A metric of the broker with this name.
 * @default - the maximum of a minute, which is how often Amazon MQ reports
 */
export function brokerMetric(brokerName: string, metricName: BrokerMetric, props?: MetricOptions): Metric {
  return new Metric({
    namespace: BROKER_NAMESPACE,
    metricName,
    // The dimension is the name, although it is called Broker and everything else of Amazon MQ goes by the id.
    dimensionsMap: { Broker: brokerName },
    statistic: Stats.MAXIMUM,
    ...props,
  });
}

export const brokerNameOf = (settings: Pick<Settings, 'environment' | 'broker'>): string =>
  settings.broker.existing?.name ?? `discord-ingestor-${settings.environment}`;

export class Broker extends BrokerBase {
  readonly brokerName: string;
  /** `b-…`: part of the names of its log groups. */
  readonly brokerId: string;
  readonly host: string;
  readonly administrator: ISecret;
  readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, props: BrokerProps) {
    super(scope, id);
    const { settings } = props;
    const { environment } = settings;
    this.brokerName = brokerNameOf(settings);
    const removal = removalPolicy(settings);
    this.administrator = administratorSecret(this, 'Administrator', { environment, removalPolicy: removal });

    const security = new ec2.SecurityGroup(this, 'Access', {
      vpc: props.vpc,
      // A new description is a new group, and Amazon MQ does not take another group. A test freezes it.
      description: 'Discord ingestor: the broker',
      allowAllOutbound: false,
    });
    // A broker that is kept holds on to its group, and AWS refuses to delete it.
    if (security.node.defaultChild instanceof CfnResource) security.node.defaultChild.applyRemovalPolicy(removal);
    this.connections = new ec2.Connections({ securityGroups: [security], defaultPort: ec2.Port.tcp(AMQPS_PORT) });

    const version = settings.broker.engineVersion;
    const configuration = new CfnConfiguration(this, 'Configuration', {
      // Another version is another configuration, which needs another name while both exist; and so does another stack,
      // because production's configuration outlives its own.
      name: `${this.brokerName}-${version.replace('.', '-')}-${STACK_SUFFIX}`,
      engineType: 'RABBITMQ',
      engineVersion: version,
      description: 'Discord ingestor',
      data: Fn.base64(brokerConfiguration(settings)),
    });

    const window = settings.broker.maintenanceWindow;
    const storageSize = storageGb(settings.broker);
    const broker = new CfnBroker(this, 'Broker', {
      brokerName: this.brokerName,
      engineType: 'RABBITMQ',
      engineVersion: version,
      deploymentMode: settings.broker.nodes === 3 ? 'CLUSTER_MULTI_AZ' : 'SINGLE_INSTANCE',
      hostInstanceType: settings.broker.size,
      ...(storageSize !== undefined && { storageSize }),
      publiclyAccessible: false,
      subnetIds: props.vpc.selectSubnets(props.subnets).subnetIds,
      securityGroups: [security.securityGroupId],
      // Amazon's own key: costs nothing, and a key cannot be changed afterwards.
      encryptionOptions: { useAwsOwnedKey: true },
      // Amazon MQ insists on it for RabbitMQ: patches come in the maintenance window.
      autoMinorVersionUpgrade: true,
      maintenanceWindowStartTime: { dayOfWeek: window.day, timeOfDay: window.time, timeZone: window.timeZone },
      configuration: { id: configuration.ref, revision: configuration.attrRevision },
      logs: { general: true },
      users: [{ username: ADMINISTRATOR, password: this.administrator.secretValueFromJson('password').unsafeUnwrap() }],
    });
    broker.applyRemovalPolicy(removal);
    configuration.applyRemovalPolicy(removal);

    this.brokerId = broker.ref;
    // The first endpoint is `amqps://host:5671`.
    const address = Fn.select(1, Fn.split('//', Fn.select(0, broker.attrAmqpEndpoints)));
    this.host = Fn.select(0, Fn.split(':', address));
  }
}

/** A broker that somebody else made. */
export class ExistingBroker extends BrokerBase {
  readonly brokerName: string;
  readonly host: string;
  readonly administrator: ISecret;
  readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, existing: NonNullable<Settings['broker']['existing']>) {
    super(scope, id);
    this.brokerName = existing.name;
    this.host = existing.host;
    this.administrator = secretOfYours(
      this,
      'Administrator',
      existing.administratorSecretArn,
      existing.administratorKeyArn,
    );
    const security = ec2.SecurityGroup.fromSecurityGroupId(this, 'Access', existing.securityGroupId);
    this.connections = new ec2.Connections({ securityGroups: [security], defaultPort: ec2.Port.tcp(AMQPS_PORT) });
  }
}

/** Where a person finds the broker in the AWS console. */
export function consoleUrl(scope: Construct, brokerId: string): string {
  const { region } = Stack.of(scope);
  return `https://${region}.console.aws.amazon.com/amazon-mq/home?region=${region}#/brokers/details?id=${brokerId}`;
}

/** The first eight characters of what tells one stack from all others, one of the same name included. */
const STACK_SUFFIX = Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));

// Only what differs from Amazon MQ's defaults. Takes effect at the next restart: `aws mq reboot-broker`, or the window.
const brokerConfiguration = (settings: Settings): string =>
  [
    // RabbitMQ 4's default is 512 KiB, which is the most the service sends: room for what a worker may add.
    `max_message_size = ${2 * MAX_MESSAGE_BYTES}`,
    // The default on Amazon MQ is 10: a worker that reads many queues, or with many readers, needs more.
    'consumer_max_per_channel = 100',
    // Room beside the workers, so that theirs do not keep the ingestor out. An alarm watches the count.
    `connection_max = ${brokerLimits(settings)?.connectionsPerNode}`,
    // Headers that keep the management console out of frames and caches.
    'secure.management.http.headers.enabled = true',
    '',
  ].join('\n');
